"""The Human studies page: set a study up, follow it, and read what the answers say.

Raters never see it; they reach `and-dissect study serve`.
"""

import streamlit as st

from and_core.errors import ANDError
from and_core.study.preview import Served, serve_preview
from and_core.study.study import Study
from pages.ui import html
from pages.ui.data import get_study, study_names
from pages.ui.setup import BOUND, explain, setup
from pages.ui.study_plan import new_study, plan
from pages.ui.study_results import export, items, progress, results

NEW = "New study"
EXAMPLE = "and-dissect study new examples/study/simulated.yaml"
VIEWS = {"Progress": progress, "Results": results, "Items": items, "Export": export, "Plan": plan}


def _owner(study: Study, name: str) -> bool:
    """Return whether this session has shown the owner's token."""
    key = f"owner {name} {study.fingerprint}"
    if st.session_state.get(key) or study.config.simulated is not None:  # nobody's answers are in a simulated one
        return True
    st.html(html.empty("Plan, answers and results are the owner's. The token was shown when the study was made."))
    with st.form("token", border=False):
        token = st.text_input("Owner's token", type="password")
        if st.form_submit_button("Open"):
            if study.owned_by(token.strip()):
                st.session_state[key] = True
                st.rerun()
            st.error("That is not the token of this study.")
    return False


@st.cache_resource(show_spinner=False, on_release=Served.close)
def _served(name: str, fingerprint: str) -> Served:
    return serve_preview(get_study(name))


def _preview(study: Study) -> None:
    """Offer the rater's page with nothing kept."""
    if st.button("Preview as a rater", key="preview", help="The rater's page as it is; your answers go nowhere."):
        link = _served(study.name, study.fingerprint).link
        st.link_button("Open the preview on this machine", link, icon=":material/headphones:")


def page() -> None:
    """Draw the page."""
    setup("Human studies")
    st.html('<h1 class="and">Human studies</h1>')
    names = study_names()
    chosen = st.selectbox("Study", [*names, NEW], key="study", **BOUND)
    if not names:
        st.html(
            html.box(
                html.empty("No study yet. Set one up below; or see one that simulated raters have answered:", EXAMPLE)
            )
        )
    if chosen == NEW:
        new_study()
        return
    try:
        study = get_study(chosen)
        if study.mark:
            st.html(f'<p><span class="and-synth">{html.text(study.mark)}</span></p>')
        if not _owner(study, chosen):
            return
        for sentence in study.changed():
            st.html(html.box(html.empty(sentence)))
        views, beside = st.columns([3, 1], vertical_alignment="bottom")
        view = views.segmented_control(
            "View", list(VIEWS), default="Progress", key="view", required=True, label_visibility="collapsed", **BOUND
        )
        with beside:
            _preview(study)
        VIEWS[view or "Progress"](study)
    except ANDError as error:
        explain(error)


page()
