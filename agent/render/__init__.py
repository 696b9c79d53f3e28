"""Renders a revision of the repository into the manifest of one host. Start at `render.py`. Only `facts` is
light.
"""
