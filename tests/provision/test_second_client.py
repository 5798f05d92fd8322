"""proxmoxer as a second client, which knows nothing of Fairlead, drives the lab's Proxmox."""

import pytest
from proxmoxer import ResourceException

from fairlead.lab.proxmox_api.api import ProxmoxApi
from tests.provision.site import NODE, Script, ssh_keys
from tests.test_host_keys import ONE


def test_a_machine_from_the_template_to_its_end(proxmox: ProxmoxApi) -> None:
    script = Script(proxmox)
    assert [row["vmid"] for row in script.machines.get()] == [9000]
    script.clone(200, "web", tags="shop;web", address="10.77.0.20")
    script.machines(200).config.put(cores=2, memory=2048, ciuser="deploy", sshkeys=ssh_keys(ONE))
    assert script.wait(script.machines(200).resize.put(disk="scsi0", size="+2G")) == "OK"
    script.start(200)
    rows = {row["vmid"]: row for row in script.client.cluster.resources.get(type="vm")}
    assert (rows[200]["name"], rows[200]["status"], rows[200]["node"]) == ("web", "running", NODE)
    assert set(rows[200]["tags"].split(";")) == {"shop", "web"}

    agent = script.machines(200).agent
    agent.ping.post()
    cards = agent("network-get-interfaces").get()["result"]
    assert [card["ip-addresses"][0]["ip-address"] for card in cards] == ["127.0.0.1", "10.77.0.20"]
    assert agent("file-read").get(file="/etc/hostname")["content"] == "web\n"

    assert script.wait(script.machines(200).status.shutdown.post(timeout=5)) == "OK"
    assert script.machines(200).status.current.get()["status"] == "stopped"
    script.start(200)
    assert script.wait(script.machines(200).status.stop.post()) == "OK"
    assert script.wait(script.machines(200).delete()) == "OK"
    assert [row["vmid"] for row in script.machines.get()] == [9000]


def test_exec_in_a_guest_is_for_those_who_may(proxmox: ProxmoxApi) -> None:
    Script(proxmox).clone(200, "web")
    Script(proxmox).start(200)
    with pytest.raises(ResourceException, match=r"403.*VM.GuestAgent.Unrestricted"):
        Script(proxmox).machines(200).agent.exec.post(command="cat /etc/hostname")
    root = Script(proxmox, proxmox.root_token).machines(200).agent
    pid = root.exec.post(command="cat /etc/hostname")["pid"]
    said = root("exec-status").get(pid=pid)
    while not said["exited"]:
        said = root("exec-status").get(pid=pid)
    assert (said["exitcode"], said["out-data"]) == (0, "web\n")


def test_a_request_that_proxmox_would_refuse_is_refused(proxmox: ProxmoxApi) -> None:
    script = Script(proxmox)
    with pytest.raises(ResourceException, match=r"400.*colour"):
        script.machines(9000).clone.post(newid=200, colour="red")
    with pytest.raises(ResourceException, match=r"400.*newid"):
        script.machines(9000).clone.post(newid=99)
    with pytest.raises(ResourceException, match="already exists"):
        script.machines(9000).clone.post(newid=9000)
    with pytest.raises(ResourceException, match="does not exist"):
        script.machines(4711).config.get()
