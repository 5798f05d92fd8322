"""Power: start, stop, shutdown, reboot, reset."""

from collections.abc import Callable
from dataclasses import replace

from fairlead.lab.proxmox_api.cluster import BRIDGE
from fairlead.lab.proxmox_api.machine import NETWORK, Machine, properties_of
from fairlead.lab.proxmox_api.refusal import Refusal
from fairlead.lab.proxmox_api.routes.machines import require_root_to_skip
from fairlead.lab.proxmox_api.routing import Call, route
from fairlead.lab.proxmox_api.tasks import Log

_AT_START = ("migratedfrom", "migration_network", "migration_type", "stateuri", "targetstorage", "nets-host-mtu")


@route("POST /nodes/{node}/qemu/{vmid}/status/start", unserved=(*_AT_START, "force-cpu", "machine"))
def start(call: Call) -> object:
    """Power on."""
    return _order(call, "qmstart", lambda _log: _start(call))


@route("POST /nodes/{node}/qemu/{vmid}/status/stop", unserved=("migratedfrom", "keepActive"))
def stop(call: Call) -> object:
    """Pull the plug."""
    return _order(call, "qmstop", lambda _log: _stop(call, kill=True))


@route("POST /nodes/{node}/qemu/{vmid}/status/shutdown", unserved=("keepActive",))
def shutdown(call: Call) -> object:
    """Ask the guest to end, and pull the plug if it does not and the caller says forceStop."""
    return _order(call, "qmshutdown", lambda _log: _shutdown(call))


@route("POST /nodes/{node}/qemu/{vmid}/status/reboot")
def reboot(call: Call) -> object:
    """Shut down and start, with what is pending."""

    def work(_log: Log) -> None:
        _stop(call, kill=False)
        _start(call)

    return _order(call, "qmreboot", work)


@route("POST /nodes/{node}/qemu/{vmid}/status/reset")
def reset(call: Call) -> object:
    """Pull the plug and start; what is pending stays pending."""

    def work(_log: Log) -> None:
        machine = _running(call)
        call.cluster.backend.stop(machine, kill=True)
        call.cluster.backend.start(replace(machine, config=machine.effective))

    return _order(call, "qmreset", work)


def _order(call: Call, kind: str, work: Callable[[Log], None]) -> str:
    """Begin the task if nothing forbids it."""
    with call.cluster.lock:
        machine = call.cluster.machine(call.vmid)
        require_root_to_skip(call)
        call.cluster.require_unlocked(machine)
        if machine.is_template:
            raise Refusal(500, "you can't start a vm if it's a template")
    return call.cluster.order(kind, call.vmid, str(call.principal), work)


def _start(call: Call) -> None:
    machine = call.cluster.machine(call.vmid)
    if machine.running:
        raise Refusal(500, f"VM {call.vmid} already running")
    _require_bridges(machine)
    call.cluster.backend.start(machine)
    with call.cluster.changing(call.vmid) as started:
        started.host_key = machine.host_key
        started.begin(call.cluster.clock())


def _require_bridges(machine: Machine) -> None:
    for key in machine.config:
        bridge = properties_of("net[n]", str(machine.config[key])).get("bridge") if NETWORK.fullmatch(key) else None
        if bridge not in (None, BRIDGE):
            raise Refusal(500, f"bridge '{bridge}' does not exist")


def _stop(call: Call, *, kill: bool) -> None:
    """A VM that is stopped already is no error: as on Proxmox the task says so and is well."""
    machine = call.cluster.machine(call.vmid)
    if machine.running:
        call.cluster.backend.stop(machine, kill=kill)
        with call.cluster.changing(call.vmid) as stopped:
            stopped.end()


def _shutdown(call: Call) -> None:
    _running(call)
    _stop(call, kill=False)


def _running(call: Call) -> Machine:
    machine = call.cluster.machine(call.vmid)
    if not machine.running:
        raise Refusal(500, f"VM {call.vmid} not running")
    return machine
