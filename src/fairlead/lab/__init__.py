"""The lab: a local stand-in for a Proxmox site, its registry and its git server, on which the unchanged pipeline runs.

    fairlead lab up      ->  site.Lab.up()    network, registry, git repositories, one machine per environment
    fairlead lab push    ->  demo.push()      builds a demo image and pushes it to the lab's registry
    fairlead lab status  ->  site.Lab.status()
    fairlead lab down    ->  site.Lab.down()  removes what carries the lab's label, and its directory

Everything in Docker that belongs to a lab carries the label `dev.fairlead.lab=<name>`; images are a cache that labs
share, tagged by the hash of their inputs.
"""
