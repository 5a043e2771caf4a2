# SPDX-License-Identifier: BSD-3-Clause
"""Options, the matrix of variants, and the laboratory as fixtures.

A test module says how much of the matrix it takes with MATRIX ("arms", "all", "ends", "one"; "later", "once" and "measured"
leave the quick depth out), changes the configuration with
configure(config, lab), and starts its peers in prepare(lab), both optional. One weir serves a (module, variant)."""
import os
import resource
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import lab as laboratory  # noqa: E402 (the path above comes first)
import netns  # noqa: E402

TWO_PORTS = ["tap-1", "af_xdp-1", "tap-2", "af_xdp-2"]
ONE_ARM = ["tap-1-onearm", "af_xdp-2-onearm"]
MATRIX = {  # depth: what a module's MATRIX means
    "quick": {"arms": ["tap-1"], "all": ["af_xdp-2"], "ends": ["tap-1"], "one": ["tap-1"], "later": [], "once": [],
              "measured": []},
    # As deep as quick, over more of the matrix: what the sanitizer build runs in a plain test.
    "broad": {"arms": ["tap-1", "af_xdp-2-onearm"], "all": ["tap-1", "af_xdp-2"], "ends": ["tap-1"], "one": ["tap-1"],
              "later": ["tap-1"], "once": ["tap-1"], "measured": []},
    "plain": {"arms": TWO_PORTS + ONE_ARM, "all": TWO_PORTS, "ends": ["tap-1", "af_xdp-2"], "one": ["tap-1"],
              "later": ["tap-1", "af_xdp-2"], "once": ["tap-1"], "measured": ["tap-1"]},
    "nightly": {"arms": TWO_PORTS + ONE_ARM, "all": TWO_PORTS + ONE_ARM, "ends": TWO_PORTS + ONE_ARM, "one": ["tap-1"],
                "later": TWO_PORTS + ONE_ARM, "once": ["tap-1"], "measured": ["tap-1"]},
}


def pytest_addoption(parser):
    parser.addoption("--depth", choices=list(MATRIX), default=os.environ.get("WEIR_TEST_DEPTH", "quick"),
                     help="how much of the matrix of ports and workers, and how many repetitions")
    parser.addoption("--build", default="build", help="build folder whose weir is tested")
    parser.addoption("--variant", action="append", help="only these, as tap-1 or af_xdp-2-onearm")


def pytest_configure(config):
    # A polite kill must take the namespaces down like ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.geteuid() != 0:
        pytest.exit("the live tests need root: they make network namespaces", 2)
    # Brokers and clients inherit it: thousands of sockets each.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    netns.clean_dead()


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        extent = getattr(metafunc.module, "MATRIX", "ends")
        wanted = MATRIX[metafunc.config.getoption("depth")][extent]
        if extent not in ("one", "once", "measured"):  # those hold for their own variant alone
            wanted = metafunc.config.getoption("variant") or wanted
        metafunc.parametrize("variant", wanted, indirect=True, scope="module")


def pytest_collection_modifyitems(config, items):
    """A module that the depth leaves out is no skipped test."""
    extents = MATRIX[config.getoption("depth")]
    left_out = [item for item in items if not extents[getattr(item.module, "MATRIX", "ends")]]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def depth(request):
    asked = request.config.getoption("depth")
    return "quick" if asked == "broad" else asked


@pytest.fixture(scope="module")
def variant(request):
    return laboratory.variant(request.param)


@pytest.fixture(scope="module")
def empty_lab(request, variant):
    """Namespaces and certificates; no weir yet."""
    place = laboratory.Lab(variant, request.config.getoption("build"))
    try:
        yield place
    finally:
        place.close()


@pytest.fixture(scope="module")
def running_lab(request, empty_lab):
    """With the module's peers and a weir that is ready."""
    module, config = request.module, empty_lab.config()
    getattr(module, "configure", lambda config, lab: None)(config, empty_lab)
    getattr(module, "prepare", lambda lab: None)(empty_lab)
    empty_lab.start(config)
    return empty_lab


@pytest.fixture
def lab(running_lab):
    """The module's laboratory; weir must be as alive after each test as before."""
    yield running_lab
    running_lab.weir.check()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows what weir said."""
    report = (yield).get_result()
    if report.failed:
        place = item.funcargs.get("empty_lab") or item.funcargs.get("running_lab")
        if place and place.runs:
            report.sections.append(("weir's log", place.weir.log(80)))
