"""Real parts for tests: engine, images, registry, Git servers, socket proxy, test hosts. See README.md here.

Rules:
1. Nothing is mocked and nothing is installed at test time (`make setup-dev` did that).
2. Every part is a context manager; what it starts or makes is gone at its end, also after a failure.
3. All names carry a unique prefix, so that several runs and a production Limpet share one machine.
4. Waiting is `wait.eventually`, with a time limit and a word for what is awaited.
"""
