"""The controls of an experiment's page: a form with GET, so that what is chosen stands in the address."""

from __future__ import annotations

from collections.abc import Iterable

from azext_batchai.service.ui import job_filter
from azext_batchai.service.ui.experiment_look import Look
from azext_batchai.service.ui.html import Child, Html, element
from azext_batchai.service.ui.series import goal_of


def form(look: Look) -> Html:
    wanted = look.wanted
    _, wrong = job_filter.conditions_of(wanted.where)
    states = [("", "all"), *((state, state) for state in job_filter.STATES)]
    goal = wanted.goal_for(wanted.metric)
    where = _text("where", "Parameter or metric", wanted.where, "lr<0.1 model=cnn", wrong)
    ranking = [
        _names("metric", "Rank by", look.metrics, wanted.metric, job_filter.preferred(look.metrics)),
        _select("goal", "Best is", (("max", "greatest"), ("min", "least")), goal, goal_of(wanted.metric)),
    ]
    compares = wanted.view == "compare"
    if compares and look.parameters:
        shown = wanted.parameter if wanted.parameter in look.parameters else look.parameters[0]
        ranking.append(_names("parameter", "Against", look.parameters, shown, look.parameters[0]))
    if not compares:
        ranking.append(_select("value", "Columns show", (("best", "best"), ("last", "last")), wanted.value, "best"))
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


def _names(name: str, title: str, options: Iterable[str], value: str, usual: str) -> Html:
    return _select(name, title, ((option, option) for option in options), value, usual)


def _select(name: str, title: str, options: Iterable[tuple[str, str]], value: str, usual: str = "") -> Html:
    """`usual`: what it is where the address says nothing of it."""
    shown = [element("option", text, value=key, selected=key == value) for key, text in options]
    return _field(name, title, element("select", shown, name=name, id=f"filter-{name}", data_usual=usual))


def _field(name: str, title: str, field: Child) -> Html:
    return element("div", element("label", title, for_=f"filter-{name}"), field, class_=f"field by-{name}")
