"""`tlkit completion bash|zsh|fish`."""

import click

from tlkit.cli.help import GroupedCommand

SAVE = {  # what keeps the script for the shells that are started later
    "bash": (
        "mkdir -p ~/.local/share/bash-completion/completions && "
        "tlkit completion bash > ~/.local/share/bash-completion/completions/tlkit"
    ),
    "zsh": "tlkit completion zsh > ~/.zsh_tlkit && echo '. ~/.zsh_tlkit' >> ~/.zshrc, after compinit",
    "fish": "tlkit completion fish > ~/.config/fish/completions/tlkit.fish",
}


@click.command(cls=GroupedCommand, examples=("tlkit completion bash", "tlkit completion zsh"))
@click.argument("shell", type=click.Choice(list(SAVE)))
def completion(shell: str) -> None:
    """Print the script that completes tlkit's words in SHELL.
    SHELL is bash (4.4 or newer), zsh or fish.

    `eval "$(tlkit completion bash)"` completes commands, options and values in the shell where it is typed; in fish,
    `tlkit completion fish | source` does. The last line of the script says how to keep it for every new shell.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "tlkit", "_TLKIT_COMPLETE").source().rstrip("\n"))
    click.echo(f"# To keep it: {SAVE[shell]}")
