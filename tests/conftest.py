"""What all tests share: markers by file, `--device PORT` for a real board, REQUIRE_ALL=1.

With `pytest --device PORT`: only what concerns a board, on the board at PORT.
"""

import gc
import signal
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # the machine may be busy
settings.load_profile("no deadline")

# Engine scalar makes hundreds of thousands of objects a step and no cycles of them: with the
# collector's own thresholds, looking at them is nearly half of its time.
gc.set_threshold(200_000, 50, 100)

# A shell's job in the background ignores Ctrl-C, and so would every program that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "pytester",
    "tests.support.models",
    "tests.support.require_all",
    "tests.support.services",
    "tests.support.web.tab_board",
    "tests.support.web.site",
]

TESTS = Path(__file__).parent

# What `make check` leaves out, by how a test's id below tests/ begins. "board" drives MicroPython
# through a port or plays a whole run of it; "slow" takes two seconds or more, by --durations=0.
MARKS = {
    "browser": ("web/",),
    "torch": (
        "host/engines/test_torch.py",
        "host/lab/test_bench.py::test_the_comparison_with_pytorch",
        "host/runs/test_torch_runs.py",
    ),
    "board": (
        "device/",
        "tools/emulation/test_checkpoint_kill.py",
        "tools/device/test_deploy.py",
        "tools/device/test_families.py",
        "tools/device/test_flash.py",
        "tools/device/test_monitor.py",
        "tools/device/test_program.py",
        "tools/device/test_repl.py",
        "tools/device/test_run.py",
        "tools/device/test_run_resumed.py",
        "tools/device/test_tensorboard.py::test_the_commands",
        "tools/device/test_transfer.py",
        "tools/device/test_virtual.py",
        "tools/device/test_weights.py",
        "tools/image/test_mip.py",
        "tools/proof/test_replay.py",
        "tools/proof/test_replay_sizes.py",
    ),
    "slow": (
        "docs/test_tour.py::test_it_runs_and_prints_what_is_committed_and_said",
        "host/plots/",  # together ten seconds, as the next two
        "host/system/test_signals.py",
        "host/runs/test_disk_full.py",
        "host/lab/test_ablation.py::test_a_picture_that_cannot_be_written_costs_no_figures",
        "packaging/",
        "firmware/test_checks.py::test_selftest_runs_at_each_call_and_unloads_its_modules",
        "firmware/test_model.py::test_every_17th_gradient_is_the_slope",
        "host/engines/test_native_state.py::test_100_000_steps",
        "host/engines/test_tensor.py::test_finite_differences",
        "host/engines/test_tensor.py::test_gradcheck_steps_around_the_kink_of_a_relu",
        "host/engines/test_tensor.py::test_weights_after_20_steps",
        "host/cli/test_narrow_terminals.py",
        "host/lab/test_ablation.py::test_a_comparison_that_cannot_be_written_leaves_no_folder",
        "host/lab/test_ablation.py::test_the_four_variants",
        "host/lab/test_ablation.py::test_the_mean_is_of_no_more_steps",
        "host/lab/test_interruption.py",
        "host/lab/test_sweep.py::test_an_interrupted_sweep_continues",
        "host/lab/test_sweep.py::test_on_a_dask_cluster_of_which_a_worker_dies",
        "host/lab/test_sweep.py::test_results_of_other_sources_are_not_used",
        "host/runs/test_checkpoint.py::test_a_resumed_run_equals_one_without_an_interruption",
        "host/runs/test_checkpoint.py::test_ctrl_c_leaves_the_model_and_the_checkpoint",
        "host/runs/test_checkpoint.py::test_the_model_that_a_run_started_from_is_not_needed",
        "host/runs/test_disk_full.py::test_a_full_disk_in_",
        "host/runs/test_new_folders.py::test_processes_that_ask",
        "host/runs/test_new_folders.py::test_trainings_that_start_together",
        "host/runs/test_tensorboard.py::test_a_full_disk",
        "host/runs/test_tensorboard.py::test_ctrl_c_leaves_whole_events",
        "host/runs/test_repeat.py::test_repeat_gives_the_same_to_the_last_bit",
        "host/chat/test_train_chat.py",
        "host/service/test_connection.py",
        "host/service/test_load.py",
        "host/service/test_pool.py::test_a_client_that_has_gone_gives_its_place_in_the_queue_back",
        "host/service/test_recordings.py::test_the_memory_to_list_a_long_log_is_bounded",
        "host/service/test_server.py",
        "host/test_data.py::test_train_and_ablate_count_the_documents_that_are_cut",
        "host/test_memory.py::test_a_training_takes_what_is_estimated",
        "host/test_memory.py::test_a_load_takes_what_is_estimated",
        "host/model_io/test_both_formats.py::test_a_load_while_the_format_changes",
        "host/model_io/test_fuzz.py",
        "host/model_io/test_folder.py::test_a_load_during_a_save_is_of_one_model",
        "host/system/test_files.py::test_a_kill_at_any_call_leaves_the_old_or_the_new_content",
        "host/system/test_files.py::test_a_kill_while_files_are_moved_is_made_good_by_the_next_even_if",
        "tools/emulation/test_checkpoint_damage.py",
        "tools/image/test_image.py",
        "tools/emulation/test_choice.py::test_1000_steps_end_where_the_portable_ones_do",
        "tools/proof/test_answers.py",
        "tools/proof/test_bench.py::test_a_step_on_the_host_and_on_the_virtual_board",
    ),
}

# These are run first, and without coverage, with which they take a third longer: what they run many
# times, other tests run too.
LONG = (
    "packaging/test_native_build.py::test_engine_native_under_sanitizers",
    "host/engines/test_native_state.py::test_100_000_steps",
    "host/engines/test_native_random.py",
    "host/service/test_load.py",
    "host/chat/test_train_chat.py::test_its_own_words",
)

ON_A_BOARD = (TESTS / "firmware", TESTS / "device")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        metavar="PORT",
        help="run the firmware tests and a training on the board at PORT, socket:// too",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("device") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--device: a board answers one process, so leave -n out")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        test = f"{item.path.relative_to(TESTS).as_posix()}::{item.name}"
        for mark, beginnings in MARKS.items():
            if test.startswith(beginnings):
                item.add_marker(mark)
        if test.startswith(LONG):
            item.add_marker("no_cover")
    # First what takes longest: last, it would leave the other processes without work.
    items.sort(key=lambda item: item.get_closest_marker("no_cover") is None)
    if config.getoption("device"):
        others = [item for item in items if not any(map(item.path.is_relative_to, ON_A_BOARD))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
