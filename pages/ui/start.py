"""The first page."""
import streamlit as st
from pages.ui.setup import setup
from pages.ui import html

def page() -> None:
    """Draw the page."""
    wanted = {name: st.query_params.get_all(name) for name in st.query_params}
    if set(wanted) - {"dissection"}:
        st.switch_page("pages/neurons.py", query_params=wanted)
    d = setup("Start")
    st.html('<h1 class="and">Start</h1>')
