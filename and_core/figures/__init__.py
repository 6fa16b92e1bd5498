"""Records in, Plotly figures and rows of tables out; no Streamlit, no torch."""
