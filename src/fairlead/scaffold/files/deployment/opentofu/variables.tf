# Values are in environments/<environment>.tfvars; the two secrets come from the environment, as TF_VAR_<name>.

variable "proxmox_endpoint" {
  description = "The API's address, https://pve.example.com:8006/. Set TF_VAR_proxmox_endpoint."
  type        = string
  sensitive   = true

  validation {
    condition     = startswith(var.proxmox_endpoint, "https://")
    error_message = "The Proxmox API is served by https only."
  }
}

variable "proxmox_api_token" {
  description = "user@realm!name=value, with the privileges of Fairlead's how-to and no others. Set TF_VAR_proxmox_api_token."
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^[^\\s!=]+@[^\\s!=]+![^\\s=]+=\\S+$", var.proxmox_api_token))
    error_message = "A token looks like user@realm!name=value."
  }
}

variable "proxmox_insecure" {
  description = "Do not verify the API's certificate. Refused for production; SSL_CERT_FILE is the better way."
  type        = bool
  default     = false
}

variable "node_name" {
  description = "The Proxmox node on which the machine is made."
  type        = string
}

variable "template_id" {
  description = "The VM template that is cloned: a cloud image with guest agent, cloud-init and Docker."
  type        = number

  validation {
    condition     = var.template_id >= 100 && var.template_id <= 999999999
    error_message = "VM numbers begin at 100."
  }
}

variable "vm_id" {
  description = "The machine's own number. Explicit, so that a repeated apply can never make a second machine."
  type        = number

  validation {
    condition     = var.vm_id >= 100 && var.vm_id <= 999999999
    error_message = "VM numbers begin at 100."
  }
}

variable "vm_name" {
  description = "The machine's name, and its host name."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.vm_name))
    error_message = "A host name of lower-case letters, digits and dashes."
  }
}

variable "cores" {
  description = "Virtual processor cores."
  type        = number
  default     = 2

  validation {
    condition     = var.cores >= 1 && floor(var.cores) == var.cores
    error_message = "A whole number from 1."
  }
}

variable "memory" {
  description = "Memory in MiB."
  type        = number
  default     = 2048

  validation {
    condition     = var.memory >= 512 && floor(var.memory) == var.memory
    error_message = "Memory is in MiB, a whole number from 512: 4 GiB are 4096."
  }
}

variable "vm_disk_size" {
  description = "The disk in GiB. It can grow, never shrink."
  type        = number
  default     = 20

  validation {
    condition     = var.vm_disk_size >= 1 && floor(var.vm_disk_size) == var.vm_disk_size
    error_message = "A whole number of GiB, at least the template's."
  }
}

variable "datastore" {
  description = "The storage for the disk and the cloud-init drive."
  type        = string
  default     = "local-lvm"
}

variable "disk_interface" {
  description = "Where the template has its disk."
  type        = string
  default     = "scsi0"
}

variable "bridge" {
  description = "The bridge of the machine's network card."
  type        = string
  default     = "vmbr0"
}

variable "vlan" {
  description = "The VLAN tag of the network card; null for none."
  type        = number
  default     = null
}

variable "address" {
  description = "The machine's IPv4 address in CIDR notation."
  type        = string

  validation {
    condition     = can(cidrhost(var.address, 0)) && can(regex("^[0-9.]+/[0-9]+$", var.address))
    error_message = "An IPv4 address in CIDR notation, such as 192.0.2.10/24."
  }
}

variable "gateway" {
  description = "The network's gateway."
  type        = string

  validation {
    condition     = can(cidrhost("${var.gateway}/32", 0))
    error_message = "An IPv4 address, such as 192.0.2.1."
  }
}

variable "dns_servers" {
  description = "Name servers."
  type        = list(string)

  validation {
    condition     = length(var.dns_servers) > 0 && alltrue([for server in var.dns_servers : can(cidrhost("${server}/32", 0))])
    error_message = "At least one IPv4 address."
  }
}

variable "user" {
  description = "The user that cloud-init makes; fairlead.yaml's deploy.user. It needs sudo."
  type        = string
  default     = "deploy"

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,31}$", var.user))
    error_message = "A user name of lower-case letters, digits, dashes and underscores."
  }
}

variable "ssh_keys" {
  description = "Public SSH keys that may log in as that user."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for key in var.ssh_keys : can(regex("^(ssh|ecdsa|sk)-", key))])
    error_message = "Public keys, as in ~/.ssh/id_ed25519.pub."
  }
}

variable "tags" {
  description = "Further tags in Proxmox."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for tag in var.tags : can(regex("^[a-z0-9_][a-z0-9_.+-]*$", tag))])
    error_message = "Tags are lower-case letters, digits and _ - + . only."
  }
}
