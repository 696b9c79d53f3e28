"""Git, as bytes in: what the branch points at, and its objects in a bare cache of our own. Runs as the child
`_fetch`.

    request.py   what is asked for                    address.py  where it is; what may be shown of it
    run.py       one fetch, top to bottom             trouble.py  foreign errors as Transient or Stalled
    wire.py      the little of Git's protocol v2 that a poll needs
    http.py  stream.py (git://)  ssh.py  local.py (directories and bundles)    one module per way to a source
    cache.py     the bare cache: ref, stamp, lock, replacement    packs.py   joins them when they get many
    objects.py   objects, trees, ancestry                         receive.py the transfer itself, by dulwich

Rules:
1. A poll with nothing new asks for one ref, compares it with the stamp and loads no Git library.
2. Nothing is ever checked out; only `refs/limpet/*` is written; no configuration and no hook of any
   repository is obeyed.
3. The cache holds nothing that matters: what is damaged in it is replaced as a whole by a fresh one made
   beside it.
4. No message, answer or file ever holds a credential.
"""
