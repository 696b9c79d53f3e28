"""Rendering: a revision of the repository to the manifest of one host. Start at `render.py`; `facts` alone is
light.
"""
