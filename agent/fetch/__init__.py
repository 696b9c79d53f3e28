"""Asks a Git source for the commit of the branch, and brings its objects into a bare cache of our own. Runs
as the child `_fetch`.

    run.py       one fetch, top to bottom
    request.py   the request of the parent process
    address.py   URLs: their parts, and the part that may be shown
    source.py    the interface of a source; one module for each way to one:
                     http.py   stream.py (git://)   ssh.py   local.py (directories and bundles)
    known_hosts.py   private_key.py   what ssh.py reads beforehand
    wire.py      the part of Git's protocol v2 that a poll needs
    receive.py   the transfer itself, by dulwich
    objects.py   objects, trees, ancestry
    cache.py     the bare cache: ref, stamp, lock, replacement
    packs.py     joins packs when there are many
    absent.py    what to say when there is no such branch or tag
    trouble.py   turns foreign errors into Transient or Stalled

Rules:
1. A poll with nothing new asks for one ref, compares it with the stamp and loads no Git library.
2. Nothing is ever checked out; only `refs/limpet/*` is written; no configuration and no hook of any
   repository is obeyed.
3. The cache holds nothing that cannot be fetched again: a damaged one is replaced by a fresh one that is
   made beside it.
4. No message, answer or file ever holds a credential.
"""
