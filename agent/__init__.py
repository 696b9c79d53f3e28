"""Limpet: a pull-based GitOps agent for VMs and bare hosts. Read `agent/README.md` first."""

__version__ = "0.1.0"
