# The one machine of an environment: a full clone of the site's template.
#   make infra-plan ENVIRONMENT=staging
resource "proxmox_virtual_environment_vm" "machine" {
  name        = var.vm_name
  description = "shop, ${terraform.workspace}"
  node_name   = var.node_name
  vm_id       = var.vm_id
  started     = true
  # The first tag is this environment's own: by it Fairlead finds a machine that an interrupted apply left behind.
  tags = sort(distinct(concat(["shop-${terraform.workspace}"], var.tags)))

  clone {
    vm_id        = var.template_id
    datastore_id = var.datastore
    full         = true
    retries      = 1 # more would silently adopt whichever machine has this vm_id already
  }

  cpu {
    cores = var.cores
    type  = "host"
  }

  memory {
    dedicated = var.memory
  }

  disk {
    datastore_id = var.datastore
    interface    = var.disk_interface
    size         = var.vm_disk_size
  }

  network_device {
    bridge  = var.bridge
    vlan_id = var.vlan
  }

  initialization {
    datastore_id = var.datastore

    ip_config {
      ipv4 {
        address = var.address
        gateway = var.gateway
      }
    }

    dns {
      servers = var.dns_servers
    }

    user_account {
      username = var.user
      keys     = var.ssh_keys
    }
  }

  # Without an answer in this time the plan goes on without it; the default would block every plan for 15 minutes.
  agent {
    enabled = true
    timeout = "60s"
  }

  lifecycle {
    # A newer template concerns new machines only; and a machine that was imported has no clone at all.
    ignore_changes = [clone]

    precondition {
      condition     = !var.proxmox_insecure || !startswith(terraform.workspace, "prod")
      error_message = "proxmox_insecure is refused for production: give the site's CA by SSL_CERT_FILE."
    }
  }
}
