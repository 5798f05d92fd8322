# Versions, and where the state is: in PostgreSQL (PG_CONN_STR), a schema per application, a workspace per environment.
terraform {
  required_version = ">= 1.10.0" # older ones do not lock workspaces of one database apart from newer ones

  required_providers {
    proxmox = {
      source  = "bpg/proxmox"
      version = "0.106.0"
    }
  }

  backend "pg" {
    schema_name = "shop"
  }

  # State and plans hold secrets in clear. Uncomment this, and set TF_ENCRYPTION as Fairlead's how-to on state
  # encryption says: from then on nothing is written that is not encrypted.
  # encryption {
  #   state {
  #     enforced = true
  #   }
  #   plan {
  #     enforced = true
  #   }
  # }
}

# The site's own CA is trusted by SSL_CERT_FILE=/path/to/ca.pem in the environment.
provider "proxmox" {
  endpoint  = var.proxmox_endpoint
  api_token = var.proxmox_api_token
  insecure  = var.proxmox_insecure
}
