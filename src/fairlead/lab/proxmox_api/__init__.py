"""The lab's Proxmox VE: an HTTPS API that the bpg provider of OpenTofu and `proxmoxer` drive as they drive a real one.

    with ProxmoxApi.start(directory) as api:
        api.url, api.token, api.ca_file

`endpoints.json` is the part of Proxmox's own schema that is served: every request is checked against it (schema.py),
also for the privileges that it names (access.py). Where the schema says nothing (answers, texts of errors), what the
provider and proxmoxer need was measured; the rest follows Proxmox's documentation, for no real one was at hand.
"""
