"""Progress bars: one tqdm bar per stage, shown only when a call takes long."""

import sys
from collections.abc import Callable
from typing import Any

Progress = Callable[[str, int, int], None]


class _Bars:
    """A callback for `_core` that shows stages as tqdm bars, opened only after the first report (40 ms in)."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage: str | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        from tqdm.auto import tqdm

        if stage != self._stage:
            self.close()
            self._stage = stage
            # `delay` keeps quick stages silent.
            self._bar = tqdm(total=total or None, desc=stage, unit_scale=True, leave=False, delay=0.5, file=sys.stderr)
        self._bar.update(max(0, done - self._bar.n))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
        self._stage = None


def _interactive() -> bool:
    """Whether somebody is looking: a terminal, or a Jupyter kernel."""
    return "ipykernel" in sys.modules or bool(getattr(sys.stderr, "isatty", lambda: False)())


class reporting:
    """Context manager that turns the user's ``progress`` argument into a callback for `_core`.

    ``None`` shows bars on a terminal or in Jupyter, ``True`` always, ``False`` never; a callable gets
    ``(stage, done, total)``.
    """

    def __init__(self, progress: bool | Progress | None) -> None:
        self._bars: _Bars | None = None
        self._callback: Progress | None
        if callable(progress):
            self._callback = progress
        elif progress is True or (progress is None and _interactive()):
            self._bars = _Bars()
            self._callback = self._bars
        else:
            self._callback = None

    def __enter__(self) -> Progress | None:
        return self._callback

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.close()
