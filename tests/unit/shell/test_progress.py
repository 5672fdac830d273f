from llm_operator.shell.progress import Progress
from llm_operator.shell.queue import Key

CHAT = Key("LLMDeployment", "ns", "chat")


def healthy() -> Progress:
    progress = Progress(resync_s=600)
    progress.beat(0)
    progress.delivered(CHAT, "5", 0)
    progress.resync_began()
    progress.resynced({CHAT: "5"}, 0)
    return progress


def test_all_is_well_after_a_beat_and_a_resync() -> None:
    assert healthy().stuck(10) == []
    assert healthy().unready(10) == []


def test_nothing_is_stuck_before_the_start() -> None:
    assert Progress(resync_s=600).stuck(10_000) == []
    assert Progress(resync_s=600).watch_age(10_000) == 0


def test_a_loop_that_stands_still_is_named() -> None:
    assert healthy().stuck(31) == ["the loop has not run for 31 s"]


def test_a_ticker_that_stands_still_is_named() -> None:
    progress = healthy()
    progress.beat(1_801)
    assert progress.stuck(1_801) == ["no resync was tried for 1801 s"]


def test_an_api_server_that_is_away_makes_it_unready_but_not_stuck() -> None:
    progress = healthy()
    progress.beat(700)
    progress.resync_failed(700)
    assert progress.stuck(700) == []
    assert progress.unready(700) == ["the API server has not been read in full since the start or the last failure"]


def test_a_change_the_watch_never_told_of_is_noticed_at_the_second_resync() -> None:
    progress = healthy()
    progress.resynced({CHAT: "9"}, 1)
    assert progress.stuck(1) == []
    progress.resynced({CHAT: "9"}, 2)
    assert progress.stuck(2) == ["the watch missed changes of ns/chat"]


def test_a_change_that_the_watch_delivers_while_a_resync_reads_was_not_missed() -> None:
    progress = healthy()
    progress.resync_began()
    progress.delivered(CHAT, "9", 1)
    progress.resynced({CHAT: "5"}, 2)
    assert progress.stuck(2) == []


def test_a_new_object_that_the_watch_told_of_between_resyncs_was_not_missed() -> None:
    progress = healthy()
    new = Key("LLMDeployment", "ns", "new")
    progress.delivered(new, "7", 1)
    for _ in range(3):
        progress.resynced({CHAT: "5", new: "7"}, 2)
    assert progress.stuck(2) == []


def test_what_is_gone_is_forgotten() -> None:
    progress = healthy()
    progress.resynced({}, 1)
    progress.resynced({}, 2)
    assert progress._delivered == {}


def test_the_age_of_the_watch_counts_from_what_it_last_delivered() -> None:
    progress = healthy()
    progress.heard(4)
    assert progress.watch_age(10) == 6


def test_a_standby_is_ready_while_it_reads_the_lease() -> None:
    progress = Progress(resync_s=600)
    progress.stood_by(100)
    assert progress.unready(130) == []
    assert progress.unready(131) == ["the Lease has not been read for 31 s"]
    progress.leads()
    assert progress.unready(131) == ["the API server has not been read in full since the start or the last failure"]
