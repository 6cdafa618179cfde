"""The controls of an experiment's page: a form with GET, so that what is chosen stands in the address."""

from __future__ import annotations

from collections.abc import Iterable

from azext_batchai.service.ui import job_filter
from azext_batchai.service.ui.experiment_look import Look
from azext_batchai.service.ui.html import Child, Html, element


def form(look: Look) -> Html:
    wanted = look.wanted
    _, wrong = job_filter.conditions_of(wanted.where)
    states = [("", "all"), *((state, state) for state in job_filter.STATES)]
    goal = wanted.goal_for(wanted.metric)
    where = _text("where", "Parameter or metric", wanted.where, "lr<0.1 model=cnn", wrong)
    ranking = [
        _select("metric", "Rank by", ((name, name) for name in look.metrics), wanted.metric),
        _select("goal", "Best is", (("max", "greatest"), ("min", "least")), goal),
    ]
    compares = wanted.view == "compare"
    if compares and look.parameters:
        shown = wanted.parameter if wanted.parameter in look.parameters else look.parameters[0]
        ranking.append(_select("parameter", "Against", ((name, name) for name in look.parameters), shown))
    if not compares:
        ranking.append(_select("value", "Columns show", (("best", "best"), ("last", "last")), wanted.value))
    return element(
        "form",
        _text("name", "Name", wanted.name, "part of a name"),
        _select("state", "State", states, wanted.state),
        where,
        ranking if look.metrics else None,
        [element("input", type="hidden", name=name, value=value) for name, value in _kept(look) if value],
        element("button", "Show", type="submit"),
        element("p", f"“{wrong[:80]}” is no condition: write lr=0.1, lr<0.1 or model!=cnn.", id="where-wrong",
                role="alert", class_="wrong") if wrong else None,
        method="get",
        action=look.address,
        class_="filter",
        role="search",
        aria_label="Which jobs",
    )


def _kept(look: Look) -> Iterable[tuple[str, str]]:
    return (("view", look.wanted.view), ("sort", look.wanted.sort))


def _text(name: str, title: str, value: str, placeholder: str, wrong: str = "") -> Html:
    field = element(
        "input",
        type="search",
        name=name,
        id=f"filter-{name}",
        value=value,
        placeholder=placeholder,
        autocomplete="off",
        spellcheck="false",
        aria_invalid="true" if wrong else None,
        aria_describedby=f"{name}-wrong" if wrong else None,
    )
    return _field(name, title, field)


def _select(name: str, title: str, options: Iterable[tuple[str, str]], value: str) -> Html:
    shown = [element("option", text, value=key, selected=key == value) for key, text in options]
    return _field(name, title, element("select", shown, name=name, id=f"filter-{name}"))


def _field(name: str, title: str, field: Child) -> Html:
    return element("div", element("label", title, for_=f"filter-{name}"), field, class_=f"field by-{name}")
