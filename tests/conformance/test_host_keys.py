"""Semaphore checks out a release that is older than its machine's host key."""

import pytest

from fairlead.config import layout
from fairlead.errors import SiteFault
from tests.conformance.fields import SemaphoreField, running_request

pytestmark = pytest.mark.lab


def test_the_branchs_key_is_known_to_a_release_that_is_older(semaphore_field: SemaphoreField) -> None:
    image = semaphore_field.images.old
    semaphore_field.release(image)
    newest = semaphore_field.git.person / layout.KNOWN_HOSTS
    known = newest.read_text()
    release = semaphore_field.git.write({layout.KNOWN_HOSTS: ""}, "Know no machine")
    with pytest.raises(SiteFault) as refused:
        semaphore_field.deployer.check_running(running_request(semaphore_field, image, commit=release))
    assert "is not in deployment/ansible/known_hosts" in refused.value.why
    newest.write_text(known)
    looked = semaphore_field.deployer.check_running(running_request(semaphore_field, image, commit=release))
    assert looked.differences == ("web_image does not run",)  # so it was let in
