"""The base of all optimizers: parameter groups, state, and the step around one fused update."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tegula as tg
from tegula import _core
from tegula._core import Tensor, submit
from tegula.nn.module import clear_grad


class Cohort:
    """Parameters of one group that have had the same number of updates, with their state.

    They are updated together by one node. All parameters of a group start in one cohort; a
    parameter without a gradient at some step falls behind and gets a cohort of its own.
    """

    __slots__ = ("params", "slots", "started", "step")

    def __init__(self, params: list[Tensor], slots: list[list[Tensor]], step: Tensor | None):
        self.params = params
        self.slots = slots  # for each kind of state, the tensors of all parameters
        self.step = step  # updates so far, 0-d float32; None where the rule counts nothing
        self.started = False  # whether there was an update already

    def split(self) -> list[Cohort]:
        """The parameters that have a gradient, and the others."""
        parts = []
        for bare in (False, True):
            at = [i for i, param in enumerate(self.params) if (param.grad is None) is bare]
            part = Cohort(
                [self.params[i] for i in at],
                [[slot[i] for i in at] for slot in self.slots],
                None if self.step is None else self.step.detach(),
            )
            part.started = self.started
            parts.append(part)
        return parts


class Optimizer:
    """Base class of optimizers.

    A subclass names its kinds of state in ``slots`` and defines ``update``.

    Args:
        params: tensors that require gradients, or dicts with the key "params" and any
            settings that differ from the defaults.
        defaults: the settings of groups that do not say otherwise.

    Attributes:
        param_groups: a list of dicts: "params" and the settings. Settings may be changed
            between steps.

    Raises:
        TypeError: a parameter is no tensor, or ``params`` is a single tensor.
        ValueError: there are no parameters, one is no leaf or given twice, or a setting is
            unknown.
    """

    slots: tuple[str, ...] = ()
    counts_steps = False

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("optimizer: params must be an iterable of tensors, not one tensor")
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._cohorts: list[list[Cohort]] = []
        given = list(params)
        if not given:
            raise ValueError("optimizer: there are no parameters")
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Adds parameters with settings of their own; their state starts fresh."""
        listed = group["params"]
        params = [listed] if isinstance(listed, Tensor) else list(listed)
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise ValueError(
                f"{type(self).__name__}: unknown settings {sorted(unknown)}; "
                f"known: {sorted(self.defaults)}"
            )
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(
                    f"{type(self).__name__}: parameters must be tensors, not {type(param).__name__}"
                )
            if not param.is_leaf:
                raise ValueError(
                    f"{type(self).__name__}: cannot optimize the result of an operation "
                    f"(shape {param.shape}): give the tensor it was made from"
                )
            if id(param) in seen:
                raise ValueError(f"{type(self).__name__}: a parameter was given twice")
            seen.add(id(param))
        settings = {**self.defaults, **group, "params": params}
        self.check(settings)
        self.param_groups.append(settings)
        self._cohorts.append([self._new_cohort(params, settings)] if params else [])

    def check(self, group: dict[str, Any]) -> None:
        """ValueError unless the settings of a group make sense."""

    def needed_slots(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The kinds of state a group needs."""
        return self.slots

    def update(
        self, cohort: Cohort, grads: list[Tensor], group: dict[str, Any]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Records the update of one cohort: its parameters and state, and what they become."""
        raise NotImplementedError

    def _new_cohort(self, params: list[Tensor], group: dict[str, Any]) -> Cohort:
        with tg.no_grad():
            slots = [[tg.zeros_like(p) for p in params] for _ in self.needed_slots(group)]
            step = None
            if self.counts_steps:
                step = tg.zeros((), dtype=tg.float32).to(params[0].device)
        return Cohort(params, slots, step)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates every parameter that has a gradient, and submits without waiting.

        Args:
            closure: computes the loss and its gradients, for rules that ask for them.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = None if closure is None else closure()
        self._update_all()
        submit()
        return loss

    def _update_all(self) -> None:
        """Everything is bound at once: Ctrl-C leaves the whole step or nothing of it."""
        handles: list[Tensor] = []
        values: list[Tensor] = []
        updated: list[Cohort] = []
        with tg.no_grad():
            for group, cohorts in zip(self.param_groups, self._cohorts, strict=True):
                for cohort in tuple(cohorts):
                    grads = []
                    for param in cohort.params:
                        grad = param.grad
                        if grad is not None:
                            grads.append(grad)
                    if len(grads) < len(cohort.params):
                        if not grads:
                            continue
                        at = cohorts.index(cohort)
                        cohorts[at : at + 1] = cohort.split()
                        cohort = cohorts[at]
                    old, new = self.update(cohort, grads, _settings(group))
                    handles += old
                    values += new
                    updated.append(cohort)
            _core._bind_all(handles, values)
        for cohort in updated:
            cohort.started = True

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients (or sets those there are to zero)."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                else:
                    clear_grad(param, set_to_none)

    # ---- saving and loading --------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Settings and state as plain data and tensors; parameters are numbered in order.

        ``{"state": {"0": {"step": …, "exp_avg": …}, …}, "param_groups": [{…, "params": [0]}]}``
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            plain = {k: v for k, v in group.items() if k != "params"}
            for param in group["params"]:
                numbers[id(param)] = len(numbers)
            groups.append({**plain, "params": [numbers[id(p)] for p in group["params"]]})
        state: dict[str, Any] = {}
        for cohorts in self._cohorts:
            for cohort in cohorts:
                if not cohort.started:
                    continue
                for i, param in enumerate(cohort.params):
                    entry = {
                        name: slot[i].detach()
                        for name, slot in zip(self.slots, cohort.slots, strict=False)
                    }
                    if cohort.step is not None:
                        entry["step"] = cohort.step.detach()
                    state[str(numbers[id(param)])] = entry
        ordered = {key: state[key] for key in sorted(state, key=int)}
        return {"state": ordered, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over settings and state from ``state_dict()`` of an optimizer of the same kind.

        Nothing is changed unless everything fits.

        Raises:
            ValueError: groups, parameters, names, shapes or dtypes of the state do not fit;
                the message says which.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(f"{name}.load_state_dict: needs the keys 'state' and 'param_groups'")
        saved_groups, saved_state = state_dict["param_groups"], state_dict["state"]
        theirs = [len(group["params"]) for group in saved_groups]
        mine = [len(group["params"]) for group in self.param_groups]
        if theirs != mine:
            raise ValueError(
                f"{name}.load_state_dict: parameters per group: {mine} here, {theirs} in the state"
            )
        groups: list[dict[str, Any]] = []
        cohorts: list[list[Cohort]] = []
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            keys = {*saved, "initial_lr"} ^ {*group, "initial_lr"}
            if keys:
                raise ValueError(f"{name}.load_state_dict: settings that differ: {sorted(keys)}")
            settings = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in saved.items()
            }
            groups.append({**group, **settings, "params": group["params"]})
            self.check(groups[-1])
            entries = [saved_state.get(str(number)) for number in saved["params"]]
            cohorts.append(self._restore(groups[-1], saved["params"], entries))
        for group, new in zip(self.param_groups, groups, strict=True):
            group.update(new)
        self._cohorts = cohorts

    def _restore(
        self, group: dict[str, Any], numbers: list[int], entries: list[Any]
    ) -> list[Cohort]:
        """Cohorts of the parameters of a group, from the saved state of each (None: fresh)."""
        name = type(self).__name__
        names = self.needed_slots(group)
        wanted = {*names, "step"} if self.counts_steps else {*names}
        by_step: dict[float | None, list[int]] = {}
        loaded: list[dict[str, Tensor]] = []
        for i, (param, entry) in enumerate(zip(group["params"], entries, strict=True)):
            where = f"{name}.load_state_dict: state of parameter {numbers[i]}"
            if entry is None:
                by_step.setdefault(None, []).append(i)
                loaded.append({})
                continue
            if set(entry) != wanted:
                raise ValueError(f"{where}: must hold {sorted(wanted)}, has {sorted(entry)}")
            tensors = {key: tg.asarray(value).detach() for key, value in entry.items()}
            for key in names:
                for what in ("shape", "dtype"):
                    have, need = getattr(tensors[key], what), getattr(param, what)
                    if have != need:
                        raise ValueError(f"{where}: {what} of {key} must be {need}, is {have}")
            step = tensors["step"].item() if self.counts_steps else 0.0
            by_step.setdefault(step, []).append(i)
            loaded.append(tensors)
        result = []
        for step, at in by_step.items():
            cohort = self._new_cohort([group["params"][i] for i in at], group)
            if step is not None:
                cohort.slots = [[loaded[i][key] for i in at] for key in names]
                cohort.started = True
                if self.counts_steps:
                    cohort.step = tg.asarray(step, dtype=tg.float32, device=cohort.params[0].device)
            result.append(cohort)
        return result

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            settings = ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            lines.append(f"  group {i}: {len(group['params'])} parameters, {settings}\n")
        return f"{type(self).__name__}(\n{''.join(lines)})"


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """The settings of a group. A traced step reads rates at each run and depends on the others."""
    if not _core._is_tracing():
        return group
    live = dict(group)
    for key, value in group.items():
        if key in ("lr", "weight_decay") and isinstance(value, float | int):
            live[key] = _core._setting(group, key)
        elif key != "params":
            _core._depend(group, key, value)
    return live


def check_least(name: str, least: float, **values: Any) -> None:
    """ValueError unless each number is at least ``least``; a 0-d tensor passes unread."""
    for key, value in values.items():
        if not isinstance(value, Tensor) and not value >= least:
            raise ValueError(f"{name}: {key} must be at least {least:g}, got {value}")
