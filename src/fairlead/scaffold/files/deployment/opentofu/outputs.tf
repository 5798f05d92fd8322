# From what is configured, never from the guest agent's list: a silent agent must not break a plan.
output "vm_ip" {
  description = "The machine's address: all that a deployment needs to know of the infrastructure."
  value       = split("/", var.address)[0]
  depends_on  = [proxmox_virtual_environment_vm.machine]
}

output "vm_id" {
  description = "The machine's number in Proxmox."
  value       = proxmox_virtual_environment_vm.machine.vm_id
}
