"""The commands that need no cluster: a prompt's tests, and a pipeline's way with a request, by the code that operator and sidecar run."""

from typing import Any

import click

from llm_operator.cli.command import offline
from llm_operator.cli.exits import CliError, Exit

_FILES = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    help="File of manifests, or - for standard input; more than one may be given.",
)
_ENDPOINT = (
    click.option("--url", default="", help="OpenAI-compatible endpoint to ask, such as http://localhost:8080."),
    click.option("--api-key-env", default="", help="Environment variable with the key for the endpoint."),
    click.option("--timeout", default="60s", show_default=True, help="How long one answer of the endpoint may take."),
)


def _endpoint(function: Any) -> Any:
    for option in reversed(_ENDPOINT):
        function = option(function)
    return function


@click.group()
def prompt() -> None:
    """Try prompts out."""


@prompt.command("test")
@_FILES
@_endpoint
@click.option("--model", default="", help="Model to ask for; by default the only one the endpoint has.")
@click.option("--served", is_flag=True, help="The endpoint puts the prompt around requests itself: send it what a client would.")
@offline
def prompt_test(files: tuple[str, ...], url: str, model: str, api_key_env: str, timeout: str, *, served: bool, is_json: bool) -> Exit:
    """Run the tests of every LLMPrompt and inline prompt in the files.

    The manifests are held against the schema of their CRD and compiled as the operator does it, then each test is rendered. What tests
    expect of answers is asked of the endpoint of --url alone; without one it is not asked for.
    """
    from llm_operator.cli import prompt_report, prompt_test  # noqa: PLC0415  # only what a command needs is imported
    from llm_operator.cli.endpoint import Asking, open_endpoint  # noqa: PLC0415  # same

    prompts = prompt_test.read_prompts(files)
    asking: Asking | None = None
    if url:
        endpoint = open_endpoint(url, api_key_env, timeout)
        asking = Asking(endpoint, model or endpoint.only_model(), served=served)
    return prompt_report.show([prompt_test.run(each, asking) for each in prompts], is_json=is_json)


@click.group()
def pipeline() -> None:
    """Try pipelines out."""


@pipeline.command("run")
@_FILES
@_endpoint
@click.option("--request", "request", required=True, help="File with the request's JSON body, or - for standard input.")
@click.option(
    "--path", default="", help="Path the request is sent to; by default /v1/chat/completions, or /v1/completions without messages."
)
@click.option("--name", default="", help="LLMDeployment that is meant, where the files have several.")
@click.option("--answer", default="", help="File with an engine's answer, JSON or a stream of events, instead of --url.")
@click.option("--model", default="", help="Name the endpoint has for the model, put in the place of the one that is asked for.")
@offline
def pipeline_run(
    files: tuple[str, ...],
    request: str,
    path: str,
    name: str,
    answer: str,
    url: str,
    model: str,
    api_key_env: str,
    timeout: str,
    *,
    is_json: bool,
) -> Exit:
    """Send a request through the stages and the prompt of an LLMDeployment, and an answer back.

    Prints what each stage did and what the engine would receive. With --url that is sent to an engine, and its answer goes through
    the answer's stages; with --answer the answer in a file does. API keys and limits of load are not asked for.
    """
    from llm_operator.cli import manifests, pipeline_report, pipeline_run  # noqa: PLC0415  # only what a command needs is imported
    from llm_operator.cli.endpoint import open_endpoint  # noqa: PLC0415  # same
    from llm_sidecar.offline import PATHS  # noqa: PLC0415  # same

    if url and answer:
        raise CliError("--url and --answer exclude each other: an answer is asked for, or it is given")
    if [*files, request, answer].count(manifests.STDIN) > 1:
        raise CliError("standard input can be read once: only one of -f, --request and --answer can be -")
    if path and path not in PATHS:
        raise CliError(f"--path: {path!r} is none of {', '.join(PATHS)}")
    deployment = pipeline_run.read_deployment(files, name)
    body = manifests.text_of(request, "--request")
    given = manifests.text_of(answer, "--answer") if answer else None
    endpoint = open_endpoint(url, api_key_env, timeout) if url else None
    account = pipeline_run.run(deployment, body, path, given, endpoint, model)
    return pipeline_report.show(deployment, account, is_json=is_json)
