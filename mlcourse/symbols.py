"""The course's symbols: what the mathematics writes, what we say, what the code calls it."""

import html

SYMBOLS = [
    ("θ", "initial parameters", "params"),
    ("θ′", "adapted parameters", "adapted"),
    ("α", "inner learning rate", "inner_lr"),
    ("β", "outer learning rate", "outer_lr"),
    ("K", "shots", "k_shot"),
    ("N", "ways", "n_way"),
    ("S", "support", "support"),
    ("Q", "query", "query"),
    ("cₖ", "prototypes", "prototypes"),
    ("H", "Hessian of the support loss", "hessian"),
]


class Symbols:
    """The table, as HTML or as plain lines."""

    def __repr__(self) -> str:
        return "\n".join(f"{symbol:3} {words:28} {name}" for symbol, words, name in SYMBOLS)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left'>{symbol}</td>"
            f"<td style='text-align:left'>{html.escape(words)}</td>"
            f"<td style='text-align:left'><code>{name}</code></td></tr>"
            for symbol, words, name in SYMBOLS
        )
        names = ("symbol", "words", "in code")
        head = "".join(f"<th scope='col' style='text-align:left'>{name}</th>" for name in names)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def symbols() -> Symbols:
    """The table of symbols, words and names in code."""
    return Symbols()
