// The rating page: shows what /state says, plays clips one at a time, and keeps an answer until the server has it on disk.
"use strict";
(() => {
  const base = location.pathname.replace(/\/$/, "");
  const $ = (id) => document.getElementById(id);
  const main = $("main");
  const SHORTCUTS = "and-shortcuts", PATIENCE = 7000, GIVE_UP = 30000, READING = 1000; // milliseconds
  const kept = () => `and-answer:${state.place}`; // by place, not by link: a new link of the same rater finds what the old one left
  const draftOf = (it) => `and-draft:${state.place}:${it.position}:${it.serial}`;
  const LETTERS = ["a", "s", "d", "f", "g", "h", "j", "k", "l"];
  const RATINGS = ["not at all", "for few clips", "for about half", "for most clips", "for all clips"];
  let state = null, item = null, answer = {}, players = [], current = 0, waiting = 0, shortcuts = true;
  let since = 0, spent = 0; // milliseconds at this item, pauses left out; performance.now() never jumps with the machine's clock

  const store = { // a browser may refuse storage; the page then still works, but an answer does not outlive the tab
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); return true; } catch { return false; } },
    drop: (key) => { try { localStorage.removeItem(key); } catch { /* nothing was kept */ } },
    names: () => { try { return Object.keys(localStorage); } catch { return []; } },
  };
  const el = (tag, properties = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key === "class") made.className = value; else if (key === "on") for (const [name, act] of Object.entries(value)) made.addEventListener(name, act);
      else if (value === true) made.setAttribute(key, ""); else if (value !== false && value != null) made.setAttribute(key, value);
    }
    made.append(...children.filter((c) => c != null)); // texts become text nodes: nothing that was sent is ever read as markup
    return made;
  };
  const say = (text) => { $("status").textContent = text; };
  const warn = (text) => { $("alert").textContent = text; };
  const name = () => (crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join(""));
  const key = (letter) => el("kbd", { "aria-hidden": "true" }, letter.toUpperCase());
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  // -- to and from the server --------------------------------------------------------------------------------------------
  async function ask(path, sent) {
    const over = new AbortController(); // a network may swallow what is sent without a word
    const options = { signal: over.signal, ...(sent ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent) } : {}) };
    const late = setTimeout(() => { say(""); warn("The server has not answered yet. What you chose is kept in this page; it goes on trying."); }, PATIENCE);
    const end = setTimeout(() => over.abort(), GIVE_UP);
    let reply, told = {};
    try {
      reply = await fetch(base + path, options);
      try { told = await reply.json(); } catch (error) { // a proxy, a log-in page
        return { status: 0, told: { error: over.signal.aborted ? "the server can't be reached" : "what came back is not the study's server" } };
      }
    } catch { return { status: 0, told: { error: "the server can't be reached" } }; } finally { clearTimeout(late); clearTimeout(end); }
    const ours = told && typeof told === "object" && ("saved" in told || "stage" in told || "error" in told);
    return ours ? { status: reply.status, told } : { status: 0, told: { error: "what came back is not the study's server" } };
  }
  const again = (status) => status === 0 || status === 408 || status === 429 || status >= 500; // worth sending again

  async function send(sent) { // tries until the server has it, or says that it is no answer
    sent.uuid = sent.uuid || name();
    const safe = sent.kind === "answer" && store.set(kept(), JSON.stringify(sent));
    waiting += 1; ready();
    say("Saving\u2026");
    for (let wait = 1; ; wait = Math.min(wait * 2, 15)) {
      const { status, told } = await ask("/events", sent);
      if (!again(status)) {
        waiting -= 1;
        if (sent.kind === "answer" && (store.get(kept()) || "").includes(sent.uuid)) store.drop(kept()); // another tab may keep its own by now
        warn("");
        if (status === 200) say(sent.kind === "answer" ? "Saved." : ""); else { say(""); warn(told.error || "The answer was refused."); }
        return { status, told };
      }
      say("");
      const where = safe || sent.kind !== "answer" ? "Your answer is kept in this page" : "Keep this page open: your answer is only here";
      warn(`Not saved yet: ${told.error || "the server has a fault"}. ${where} and is sent again in ${wait} s.`);
      await pause(wait * 1000);
    }
  }

  async function load() { const told = await fetched(); return told && show(told); }
  async function fetched() {
    for (let wait = 1; ; wait = Math.min(wait * 2, 15)) {
      const { status, told } = await ask("/state");
      if (status === 200) { warn(""); return told; }
      warn(again(status) ? `${told.error || "The server has a fault"}. Trying again in ${wait} s; nothing you saved is lost.` : told.error);
      if (!again(status)) return null;
      await pause(wait * 1000);
    }
  }

  async function start() {
    shortcuts = store.get(SHORTCUTS) !== "off"; keysShown();
    const told = await fetched();
    if (!told) return;
    state = told;
    const left = store.get(kept()); // an answer that was given but not saved before the page went
    let sent = null;
    try { sent = left && JSON.parse(left); } catch { store.drop(kept()); }
    if (!sent) { show(told); return; }
    const { status, told: said } = await send(sent);
    await load();
    if (status !== 200) warn(`An answer from before could not be saved: ${said.error || "it was refused"}`);
  }

  // -- what is shown -------------------------------------------------------------------------------------------------------
  function show(told) {
    state = told; item = null; answer = {}; giveBack(); current = 0;
    document.title = `${told.title}, ${Math.min(told.position + 1, told.total)} of ${told.total}`;
    $("study").textContent = told.title; $("who").textContent = told.pseudonym;
    $("mark").textContent = told.mark || ""; $("mark").hidden = !told.mark;
    $("count").textContent = `${told.position} of ${told.total} answered${left(told.seconds_left)}`;
    $("bar").setAttribute("aria-valuemax", told.total); $("bar").setAttribute("aria-valuenow", told.position);
    $("bar").firstElementChild.style.width = `${told.total ? (100 * told.position) / told.total : 0}%`;
    $("tools").hidden = told.stage !== "item" && !told.can_undo;
    $("pause").hidden = $("report").hidden = told.stage !== "item";
    $("undo").setAttribute("aria-disabled", String(!told.can_undo));
    ({ consent, volume, item: question, done })[told.stage]();
    const heading = $("question");
    if (heading) { heading.focus({ preventScroll: true }); window.scrollTo(0, 0); }
  }
  const left = (seconds) => seconds == null ? "" : seconds < 90 ? ", about a minute left" : `, about ${Math.round(seconds / 60)} minutes left`;
  const fill = (...parts) => main.replaceChildren(...parts);
  const title = (text) => el("h1", { id: "question", tabindex: "-1" }, text);
  const go = (text, act, disabled = false) => el("button", { type: "button", class: "go", id: "go", "aria-disabled": String(disabled), on: { click: act } }, text, " ", key("\u23CE"));

  function consent() {
    const box = el("input", { type: "checkbox", id: "agree", on: { change: () => $("go").setAttribute("aria-disabled", String(!box.checked)) } });
    fill(title("Before you begin"), el("p", { class: "consent" }, state.consent), el("div", { class: "options" }, el("label", {}, box, "I have read this and take part")),
      go("Continue", async () => { if (box.checked && !waiting) { await send({ kind: "consent", agreed: true }); await load(); } else if (!waiting) warn("Tick the box to take part."); }, true));
  }

  function volume() {
    const field = el("input", { id: "count-beeps", inputmode: "numeric", autocomplete: "off", maxlength: "2" });
    fill(title("Set your volume"), el("p", {}, "Put on headphones if you have them. Play the beeps, make them clearly audible and comfortable, and count them. All clips are as loud."),
      el("ul", { class: "clips" }, clip({ id: state.beeps, seconds: 0, number: 1 }, "Beeps")),
      el("label", { for: "count-beeps" }, "How many beeps do you hear?"), field,
      go("Continue", async () => {
        const count = Number.parseInt(field.value, 10);
        if (waiting) return;
        if (!players[0].plays || !Number.isInteger(count) || count < 0) { warn("Play the beeps and type their number."); return; }
        const { status, told } = await send({ kind: "volume", count });
        await load();
        if (status === 200 && !told.right) warn("That was not their number. Set the volume and listen again: there is another number of beeps now.");
      }));
  }

  function done() {
    store.names().filter((name) => name.startsWith(`and-draft:${state.place}:`)).forEach(store.drop);
    fill(title("Thank you, that was all"), el("p", {}, "Every answer is saved. You can close this page."));
  }

  function question() {
    item = state.item;
    const draft = recalled(item);
    spent = draft.spent; since = performance.now();
    const task = { fit, write, present: perClip, captions: perClip, choose, intruder }[item.task];
    const clips = el("ul", { class: "clips", "aria-label": "Clips" }, ...item.clips.map((c) => clip(c, `Clip ${c.number}`)));
    const all = el("button", { type: "button", id: "all", on: { click: playAll } }, "\u25B6\u25B6 Play all ", key("0"));
    const said = item.description == null ? null : el("blockquote", { id: "description" }, item.description);
    const parts = [title(item.question), said, clips, all, item.task === "present" || item.task === "captions" ? null : task(), go("Save and go on", save, true), el("p", { class: "why", id: "need" })];
    if (item.training) parts.unshift(el("p", { class: "mark" }, "For practice: you will be told what a good answer is."));
    fill(...parts.filter(Boolean));
    restore(draft);
    ready();
  }

  // -- drafts: what was chosen, written and heard of the item at hand outlives a reload, a closed tab and a new link -------------
  function recalled(it) {
    let draft = null;
    try { draft = JSON.parse(store.get(draftOf(it))); } catch { /* none that can be read */ }
    const plain = { response: undefined, spent: 0, heard: {} };
    return draft && typeof draft === "object" && typeof draft.heard === "object" && Number.isFinite(draft.spent) ? { ...plain, ...draft } : plain;
  }
  function remember() {
    if (!item || waiting) return;
    const heard = Object.fromEntries(players.map((p) => [p.c.number, { plays: p.plays, whole: p.whole, spans: p.spans() }]));
    const chosen = answer.response && typeof answer.response === "object" ? Object.fromEntries(item.clips.map((c) => [c.number, answer.response[c.id]])) : answer.response;
    store.set(draftOf(item), JSON.stringify({ response: chosen, spent: Math.round(spent + performance.now() - since), heard }));
  }
  function restore(draft) {
    const press = (input) => { if (input && !input.checked) input.click(); };
    if (item.task === "write") {
      const field = $("text");
      if (draft.response === item.nothing) press(main.querySelector("input[type=checkbox]"));
      else if (typeof draft.response === "string") { field.value = draft.response; answer.response = draft.response; }
    } else if (draft.response && typeof draft.response === "object") {
      players.forEach((p) => { const value = draft.response[p.c.number]; if (typeof value === "boolean") press(p.box.querySelector(`input[value=${value ? "yes" : "no"}]`)); });
    } else if (draft.response != null) press([...main.querySelectorAll("input[name=answer]")].find((input) => input.value === String(draft.response)));
  }

  // -- clips: one sounds at a time, and what was played is counted -----------------------------------------------------------
  function clip(c, label) {
    const audio = new Audio(); audio.preload = "auto"; audio.src = `${base}/media/${c.id}`;
    const bar = el("i"), note = el("small", {}, "not heard yet");
    const button = el("button", { type: "button", "aria-label": `Play ${label}`, "data-clip": String(c.number), on: { click: () => toggle(me) } }, "\u25B6 ", label, " ", key(String(c.number)));
    const box = el("li", { class: "clip" }, button, c.picture ? el("img", { src: `${base}/media/${c.picture}`, alt: `Spectrogram of clip ${c.number}` }) : null,
      el("span", { class: "heard", "aria-hidden": "true" }, bar), note, c.caption == null ? null : el("p", { id: `caption-${c.number}` }, c.caption));
    const before = (item ? recalled(item).heard[c.number] : null) || {};
    const old = Array.isArray(before.spans) ? before.spans.filter((s) => Array.isArray(s) && s.every(Number.isFinite)) : [];
    const me = { c, audio, box, label, plays: Number.isInteger(before.plays) ? before.plays : 0, whole: before.whole === true, gone: false };
    me.spans = () => { // what was played, now and before a reload, as stretches that do not overlap
      const spans = [...old];
      for (let i = 0; i < audio.played.length; i++) spans.push([audio.played.start(i), audio.played.end(i)]);
      spans.sort((a, b) => a[0] - b[0]);
      return spans.reduce((made, [start, end]) => {
        const last = made[made.length - 1];
        if (last && start <= last[1]) last[1] = Math.max(last[1], end); else made.push([start, end]);
        return made;
      }, []);
    };
    me.seconds = () => c.seconds || (Number.isFinite(audio.duration) ? audio.duration : 1);
    me.heard = () => {
      if (me.whole) return me.seconds();
      return Math.min(me.spans().reduce((sum, [start, end]) => sum + end - start, 0), me.seconds());
    };
    me.enough = () => c.broken || me.plays > 0 && me.heard() >= (state.listen || 0) * me.seconds() - 0.2;
    const draw = () => {
      if (me.gone) return;
      bar.style.width = `${Math.min(100, (100 * me.heard()) / me.seconds())}%`;
      note.textContent = c.broken ? "reported as broken" : me.enough() ? "heard" : me.plays ? "go on listening" : "not heard yet";
      ready();
    };
    audio.addEventListener("play", () => { me.plays += 1; button.setAttribute("aria-label", `Pause ${label}`); button.firstChild.textContent = "\u275A\u275A "; players.forEach((p) => { if (p !== me) p.audio.pause(); }); });
    const stopped = () => { if (me.gone) return; button.setAttribute("aria-label", `Play ${label}`); button.firstChild.textContent = "\u25B6 "; draw(); remember(); };
    audio.addEventListener("pause", stopped); audio.addEventListener("timeupdate", draw);
    audio.addEventListener("ended", () => { me.whole = me.whole || me.heard() >= 0.95 * audio.duration; stopped(); });
    audio.addEventListener("error", () => { if (me.gone) return; note.textContent = "can't be played"; warn(`${label} can't be played. Try it again, or report the fault (B).`); });
    if (item && (item.task === "present" || item.task === "captions")) box.append(yesNo(c));
    players.push(me);
    if (c.broken) note.textContent = "reported as broken"; else if (me.plays) note.textContent = me.enough() ? "heard" : "go on listening";
    if (me.plays) bar.style.width = `${Math.min(100, (100 * me.heard()) / me.seconds())}%`;
    return box;
  }
  function toggle(me) {
    current = players.indexOf(me);
    players.forEach((p, i) => p.box.classList.toggle("on", i === current));
    if (me.audio.error) { me.audio.load(); warn(""); } // it could not be fetched before: once more
    if (me.audio.paused) { me.audio.play().catch(() => {}); } else me.audio.pause();
  }
  const silence = () => players.forEach((p) => p.audio.pause());
  function playAll() { // one after the other, from the first that was not heard; stopping one by hand stops the row
    const row = players.filter((p) => !p.c.broken), unheard = row.findIndex((p) => !p.enough());
    const next = (place) => {
      const p = row[place];
      if (!p || p.gone) return;
      p.audio.currentTime = 0;
      p.audio.addEventListener("ended", () => next(place + 1), { once: true });
      if (p.audio.paused) toggle(p);
    };
    silence();
    next(Math.max(0, unheard));
  }
  function giveBack() { // a browser has a limited number of players: one that is left to be collected still counts
    players.forEach((p) => { p.gone = true; p.audio.pause(); p.audio.removeAttribute("src"); p.audio.load(); });
    players = [];
  }

  // -- answers ---------------------------------------------------------------------------------------------------------------
  const radio = (group, value, act, label, letter) => el("label", {}, el("input", { type: "radio", name: group, value, on: { change: act } }), el("span", {}, label), " ", letter ? key(letter) : null);
  const pick = (value) => () => { answer.response = value; ready(); remember(); };
  const group = (legend, long, ...options) => el("fieldset", {}, el("legend", {}, legend), el("div", { class: long ? "options long" : "options" }, ...options));

  function fit() {
    return group("Your rating", false, ...RATINGS.map((text, i) => radio("answer", String(i + 1), pick(i + 1), `${i + 1}, ${text}`, LETTERS[i])), radio("answer", item.nothing, pick(item.nothing), "I can't tell", "n"));
  }
  function choose() {
    return group("The description that fits best", true, ...item.options.map((o, i) => radio("answer", o.id, pick(o.id), o.text, LETTERS[i])), radio("answer", item.nothing, pick(item.nothing), "None of them", "n"));
  }
  function intruder() {
    return group("The clip that does not belong", false, ...item.clips.map((c, i) => radio("answer", c.id, pick(c.id), `Clip ${c.number}`, LETTERS[i])), radio("answer", item.nothing, pick(item.nothing), "I can't tell", "n"));
  }
  function write() {
    const field = el("textarea", { id: "text", on: { input: () => { none.checked = false; answer.response = field.value; ready(); remember(); } } });
    const none = el("input", { type: "checkbox", on: { change: () => { answer.response = none.checked ? item.nothing : field.value; ready(); remember(); } } });
    answer.response = "";
    const hint = el("small", { id: "texthint", class: "why" }, "Ctrl + Enter saves and goes on; Escape leaves the field, so that keys play clips.");
    field.setAttribute("aria-describedby", "texthint");
    return el("div", {}, el("label", { for: "text" }, "What they share"), field, hint, el("div", { class: "options" }, el("label", {}, none, "They share nothing that I can hear ", key("n"))));
  }
  function yesNo(c) {
    const text = item.task === "captions" ? "It describes the clip" : "It is there";
    answer.response = answer.response || {};
    const set = (value) => () => { answer.response[c.id] = value; ready(); remember(); };
    return el("fieldset", {}, el("legend", {}, `${text}, clip ${c.number}?`), el("div", { class: "yesno" }, radio(`yn${c.number}`, "yes", set(true), "Yes", "y"), radio(`yn${c.number}`, "no", set(false), "No", "n")));
  }
  const perClip = () => null;

  function lacking() { // what must still be done before this answer can be saved
    if (waiting) return "Saving\u2026";
    const unheard = players.filter((p) => !p.enough()).map((p) => p.c.number);
    if (unheard.length) return `Listen to clip ${unheard.join(", ")}.`;
    const r = answer.response;
    if (item.task === "write" && r !== item.nothing) return tooLong(r || "") || (isText(r || "") ? "" : "Write what they share.");
    if (item.task === "write") return "";
    if (item.task === "present" || item.task === "captions") return item.clips.every((c) => c.id in (r || {})) ? "" : "Say yes or no for every clip.";
    return r === undefined ? "Choose an answer." : "";
  }
  const tooLong = (text) => { const n = [...text].length; return n > state.longest ? `At most ${state.longest} characters can be saved; these are ${n}.` : ""; };
  function isText(text) { // two characters that can be seen, or one that no English word is written with
    const seen = [...text].filter((c) => !/[\p{Z}\p{M}\p{Cc}\p{Cf}]/u.test(c));
    return seen.length >= 2 || seen.some((c) => c.codePointAt(0) > 127);
  }
  function closed(yes) { // what is on its way can't be changed any more
    main.querySelectorAll("input, textarea, select, fieldset").forEach((field) => { field.disabled = yes; });
    main.setAttribute("aria-busy", String(yes));
  }
  function ready() {
    if (!item || !$("go") || !$("need")) return;
    const need = lacking();
    $("go").setAttribute("aria-disabled", String(Boolean(need)));
    if ($("need").textContent !== need) $("need").textContent = need;
  }

  async function save() {
    const need = lacking();
    if (need) { if (!waiting) warn(need); return; }
    const sent = { kind: "answer", position: item.position, serial: item.serial, response: answer.response, ms: Math.round(spent + performance.now() - since), plays: {}, heard: {} };
    for (const p of players) { sent.plays[p.c.id] = p.plays; sent.heard[p.c.id] = Math.round(1000 * p.heard()) / 1000; }
    silence();
    const draft = draftOf(item);
    closed(true);
    const { status, told } = await send(sent);
    if (status === 200) store.drop(draft);
    if (status === 422) { closed(false); ready(); return; }
    if (told.feedback) { feedback(told.feedback, told.state); return; }
    if (told.state) show(told.state); else await load();
    if (status === 409) warn(told.error);
  }
  function feedback(said, next) {
    giveBack(); item = null;
    const good = said.expected.includes(String(said.given)) ? "That is a good answer" : `A good answer would be ${said.expected.join(" or ")}`;
    fill(title("About your answer"), el("p", { class: "feedback" }, `${good}: ${said.why}.`), go("Continue", (e) => { if (e.currentTarget.getAttribute("aria-disabled") === "false") { if (next) show(next); else load(); } }, true));
    setTimeout(() => $("go").setAttribute("aria-disabled", "false"), READING); // the second of two quick presses is meant for the answer
    $("question").focus();
  }

  // -- tools -----------------------------------------------------------------------------------------------------------------
  async function undo() {
    if (waiting || !state.can_undo) return;
    const before = state.position - 1;
    const { status, told } = await send({ kind: "undo", position: before, serial: state.undo_serial });
    if (told.state) show(told.state); else await load();
    if (status === 200) say("Taken back; answer it again."); else warn(told.error || "");
  }
  function dialog(heading, ...parts) {
    const box = $("dialog");
    box.replaceChildren(el("h2", { id: "dialogtitle" }, heading), ...parts);
    silence();
    if (item) spent += performance.now() - since;
    box.addEventListener("close", () => { since = performance.now(); }, { once: true });
    box.showModal();
  }
  async function rest() {
    dialog("Paused", el("p", {}, "Nothing is counted now. You can also close the page and come back later by the same link: you go on here."),
      el("div", { class: "row" }, el("button", { type: "button", class: "go", on: { click: () => $("dialog").close() } }, "Go on")));
    $("dialog").addEventListener("close", () => { ask("/events", { kind: "resume", uuid: name() }); }, { once: true });
    await ask("/events", { kind: "pause", uuid: name() });
  }
  function report() {
    if (waiting) { warn("One moment: your answer is being saved."); return; }
    const faults = [["audio", "The sound is broken or missing"]];
    if (item.description != null || item.options.length) faults.push(["description", "The description is wrong or can't be understood"]);
    if (item.clips.some((c) => c.caption != null)) faults.push(["caption", "A caption is wrong"]);
    let fault = faults[0][0];
    const options = faults.map(([value, text]) => radio("fault", value, () => { fault = value; }, text));
    options[0].firstChild.checked = true;
    const which = el("select", { id: "which" }, el("option", { value: "" }, "the item as a whole"), ...item.clips.map((c) => el("option", { value: c.id }, `clip ${c.number}`)));
    const note = el("textarea", { id: "note" }), long = el("p", { class: "why", role: "alert" });
    dialog("Report a fault", group("What is wrong", true, ...options), el("p", {}, el("label", { for: "which" }, "Where "), which), el("label", { for: "note" }, "In your words (may stay empty)"), note, long,
      el("div", { class: "row" }, el("button", { type: "button", class: "go", on: { click: async () => {
        const at = item.position;
        long.textContent = tooLong(note.value);
        if (long.textContent) return;
        $("dialog").close();
        const { status } = await send({ kind: "flag", position: at, fault, clip: which.value || null, note: note.value });
        if (status === 200 && fault === "audio" && which.value && item) item.clips.forEach((c, i) => { if (c.id === which.value) { c.broken = true; players[i].box.querySelector("small").textContent = "reported as broken"; } });
        ready();
        if (status === 200) say("Reported, thank you.");
      } } }, "Report"), el("button", { type: "button", on: { click: () => $("dialog").close() } }, "Cancel")));
  }
  function keysShown() {
    document.body.classList.toggle("nokeys", !shortcuts);
    $("keys").textContent = shortcuts ? "Shortcuts: on" : "Shortcuts: off"; $("keys").setAttribute("aria-pressed", String(shortcuts));
  }
  $("undo").addEventListener("click", undo); $("pause").addEventListener("click", rest); $("report").addEventListener("click", () => { if (item) report(); });
  $("keys").addEventListener("click", () => { shortcuts = !shortcuts; store.set(SHORTCUTS, shortcuts ? "on" : "off"); keysShown(); });

  document.addEventListener("keydown", (e) => {
    const writes = e.target.closest && e.target.closest("textarea");
    if (writes && !$("dialog").open && !e.repeat && !e.altKey) { // Enter is a new line there, and keys are letters
      if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && $("go")) { e.preventDefault(); if (!waiting) $("go").click(); return; }
      if (e.key === "Escape") { e.preventDefault(); $("question").focus(); return; }
    }
    if (e.ctrlKey || e.metaKey || e.altKey || e.repeat || $("dialog").open) return;
    if (waiting) { if (e.key === "Enter") e.preventDefault(); return; }
    const typing = e.target.closest && e.target.closest("textarea, select, input:not([type=radio]):not([type=checkbox])");
    if (e.key === "Enter" && $("go") && !(e.target.closest && e.target.closest("textarea, button, a, select"))) { e.preventDefault(); $("go").click(); return; }
    if (typing || !shortcuts) return; // hotkeys never fire while typing
    const letter = e.key.toLowerCase();
    if (/^[1-9]$/.test(letter) && players[letter - 1]) { e.preventDefault(); players[letter - 1].box.querySelector("button").focus(); toggle(players[letter - 1]); return; }
    if (letter === "u") { e.preventDefault(); undo(); return; }
    if (!item) return;
    const press = (input) => { if (input) { e.preventDefault(); input.click(); input.focus(); } };
    if (letter === "0") { e.preventDefault(); playAll(); return; }
    if (letter === "p") { e.preventDefault(); rest(); } else if (letter === "b") { e.preventDefault(); report(); }
    else if (item.task === "present" || item.task === "captions") {
      if (letter === "y" || letter === "n") press((players.find((p) => p.box.contains(document.activeElement)) || players[current]).box.querySelector(`input[value=${letter === "y" ? "yes" : "no"}]`));
    } else if (item.task === "write") { if (letter === "n") press(main.querySelector("input[type=checkbox]")); }
    else {
      const inputs = [...main.querySelectorAll("input[name=answer]")];
      if (letter === "n") press(inputs[inputs.length - 1]); else if (LETTERS.includes(letter) && LETTERS.indexOf(letter) < inputs.length - 1) press(inputs[LETTERS.indexOf(letter)]);
    }
  });
  window.addEventListener("beforeunload", (e) => { remember(); if (waiting) e.preventDefault(); });
  window.addEventListener("pagehide", remember);
  start();
})();
