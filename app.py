"""The dashboard: `streamlit run app.py`, or `and-dissect app`. This is its first page, Neurons; the others are in `pages/`."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.media import media_routes

app = st.App(__file__, routes=media_routes())  # `streamlit run` serves this object: the pages, and the clips' sound and pictures

if get_script_run_ctx(suppress_warning=True) is not None:
    from pages.ui.neurons import page

    page()
