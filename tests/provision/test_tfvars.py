"""What is read of a .tfvars file without OpenTofu."""

from pathlib import Path

from fairlead.provision.tfvars import plain_values

SHIPPED = Path("src/fairlead/scaffold/files/deployment/opentofu/environments/staging.tfvars")


def test_the_shipped_files_values_are_read() -> None:
    values = plain_values(SHIPPED.read_text())
    assert (values["node_name"], values["template_id"], values["tags"]) == ("pve1", 9000, ["shop", "staging"])
    assert values["address"] == "192.0.2.10/24"


def test_comments_commas_and_lines_are_hcls() -> None:
    text = """
    vm_id = 101 # 102
    // vm_id = 103
    /* vm_id = 104
       vm_id = 105 */
    name  = "a # b // \\"c\\" /* d */"
    tags  = [
      "one",   # the first
      "two, three",
    ]
    insecure=true
    vlan = null
    """
    assert plain_values(text) == {
        "vm_id": 101,
        "name": 'a # b // "c" /* d */',
        "tags": ["one", "two, three"],
        "insecure": True,
        "vlan": None,
    }


def test_what_only_opentofu_can_tell_is_left_out() -> None:
    text = 'a = "${path.module}/x"\nb = <<EOT\nc\nEOT\nd = file("x")\ne = 5\nf = ["%{ if true }"]\ng ='
    assert plain_values(text) == {"e": 5}
