"use strict";
document.getElementById("join").addEventListener("submit", async (e) => {
  e.preventDefault();
  const alert = document.getElementById("alert");
  alert.textContent = "";
  try {
    const answer = await fetch(location.pathname, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ pseudonym: document.getElementById("pseudonym").value }),
    });
    const told = await answer.json();
    if (answer.ok) location.assign(told.link); else alert.textContent = told.error;
  } catch (error) {
    alert.textContent = "The server can't be reached. Try again in a while; if your pseudonym is then taken, choose another.";
  }
});
