import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.images import dockerfile, places
from tests.lab.images.dockerfile import DockerfileError, parse

GOOD = """\
# a comment
ARG BASE=python:3.11-slim
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
WORKDIR /build
COPY pyproject.toml uv.lock ./
RUN pip install uv
RUN uv export --frozen --no-emit-project \\
    --extra sidecar --output-file requirements.txt \\
    && uv pip install --target /app --requirements requirements.txt
COPY images/sidecar/llm_sidecar /app/llm_sidecar
COPY LICENSE NOTICE /app/

FROM ${BASE}
COPY --from=build /app /app
ARG HOME_DIR=/data
ENV PYTHONPATH=/app QUOTED="two words" \\
    HOME=${HOME_DIR}
LABEL org.opencontainers.image.title=sidecar
WORKDIR /srv
WORKDIR data
USER 10001:10001
EXPOSE 8080 9090
ENTRYPOINT ["python3", "-m", "llm_sidecar"]
CMD ["--verbose"]
"""


def test_the_last_stage_says_how_a_container_starts() -> None:
    config = parse(GOOD).config
    assert config.entrypoint == ("python3", "-m", "llm_sidecar")
    assert config.cmd == ("--verbose",)
    assert config.user == "10001:10001"
    assert config.env == {"PYTHONPATH": "/app", "QUOTED": "two words", "HOME": "/data"}
    assert config.workdir == "/srv/data"
    assert config.labels == {"org.opencontainers.image.title": "sidecar"}


def test_the_early_stage_says_what_is_in_the_application() -> None:
    recipe = parse(GOOD)
    assert recipe.app_dir == "/app"
    assert recipe.extra == "sidecar"
    assert recipe.sources == (("images/sidecar/llm_sidecar", "llm_sidecar"), ("LICENSE", "LICENSE"), ("NOTICE", "NOTICE"))


def test_an_entrypoint_forgets_the_command_in_front_of_it() -> None:
    swapped = GOOD.replace('CMD ["--verbose"]\n', "").replace("ENTRYPOINT", 'CMD ["--early"]\nENTRYPOINT')
    assert parse(swapped).config.cmd == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('ENTRYPOINT ["python3", "-m", "llm_sidecar"]', "ENTRYPOINT python3 -m llm_sidecar", "must be a JSON list"),
        ("USER 10001:10001", "RUN useradd app", "must only copy from an earlier one, not 'useradd app'"),
        ("USER 10001:10001", "COPY LICENSE /LICENSE", "must only copy from an earlier one"),
        ("USER 10001:10001", "COPY --from=build /etc/ssl /etc/ssl", "must copy one folder from an earlier stage, not 2"),
        ("USER 10001:10001", "HEALTHCHECK NONE", "HEALTHCHECK is not read"),
        ("COPY --from=build /app /app", "COPY --from=build /app /srv", "to the same place, not /app of build to /srv"),
        ("COPY --from=build /app /app", "COPY --from=other /app /app", "folder of an earlier stage"),
        ("COPY --from=build /app /app\n", "", "must copy one folder from an earlier stage, not 0"),
        ("RUN pip install uv", "RUN uv export --extra operator", "one extra at most"),
        ("RUN pip install uv", "RUN <<EOF", "here-documents"),
        ("FROM ${BASE}\n", "FROM build\n", "a stage on top of another"),
        ("ARG BASE", "USER root\nARG BASE", "USER in front of the first FROM"),
        ("ENV PYTHONPATH=/app", "ENV PYTHONPATH /app", "only NAME=value pairs"),
    ],
)
def test_what_the_lab_cannot_mirror_is_refused(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(DockerfileError) as refusal:
        parse(GOOD.replace(old, new, 1))
    assert message in str(refusal.value)


def test_a_file_without_a_stage_is_refused() -> None:
    with pytest.raises(DockerfileError, match="no FROM"):
        parse("# nothing\n")


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text("abc /:=.-", max_size=12), min_size=1, max_size=4))
def test_quoted_variables_are_read_as_they_are_written(env: dict[str, str]) -> None:
    line = " ".join(f'{name}="{value}"' for name, value in env.items())
    assert (
        parse(GOOD.replace("ENV PYTHONPATH=/app", f"ENV {line}\nENV PYTHONPATH=/app")).config.env.items()
        >= {
            **env,
            "PYTHONPATH": "/app",
            "QUOTED": "two words",
            "HOME": "/data",
        }.items()
    )


@pytest.mark.parametrize("name", ["operator", "sidecar", "fetcher", "engine-stub"])
def test_every_dockerfile_of_the_project_can_be_mirrored(name: str) -> None:
    recipe = dockerfile.read(places.REPO / "images" / name / "Dockerfile")
    assert recipe.config.entrypoint[:2] == ("python3", "-m")
    assert recipe.config.env["PYTHONPATH"] == recipe.app_dir
    user = recipe.config.user.partition(":")[0]
    assert user.isdecimal(), "the kubelet cannot tell that a user with a name is not root"
    assert int(user) > 0
    modules = {place: places.REPO / source for source, place in recipe.sources}
    assert (modules[recipe.config.entrypoint[2]] / "__main__.py").is_file()
