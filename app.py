"""The dashboard: `streamlit run app.py`, or `and-dissect app`.

This is its first page, Start; the others are in `pages/`.
"""

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.scriptrunner import get_script_run_ctx

from and_core.web import HostGuard, told_hosts
from pages.ui.address import BaseAddress
from pages.ui.media import media_routes
from pages.ui.palette import palette_routes

guard = Middleware(HostGuard, hosts=told_hosts(st.get_option("server.address") or "127.0.0.1"))
base = Middleware(BaseAddress, base=st.get_option("server.baseUrlPath") or "")
app = st.App(
    __file__, routes=[*media_routes(), *palette_routes()], middleware=[guard, base]
)  # `streamlit run` serves this object: pages, and the clips' sound and pictures

if get_script_run_ctx(suppress_warning=True) is not None:
    from pages.ui.start import page

    page()
