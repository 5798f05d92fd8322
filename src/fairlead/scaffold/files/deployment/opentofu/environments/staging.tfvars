# The machine of staging. Secrets are no variables of this file: TF_VAR_proxmox_endpoint and TF_VAR_proxmox_api_token.
# <tfvars>
node_name    = "pve1"
template_id  = 9000
vm_id        = 101
vm_name      = "shop-staging"
cores        = 2
memory       = 2048
vm_disk_size = 20
address      = "192.0.2.10/24"
gateway      = "192.0.2.1"
dns_servers  = ["192.0.2.1"]
ssh_keys     = []
tags         = ["shop", "staging"]
# </tfvars>
