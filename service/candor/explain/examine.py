"""Full trust: an attribution put to the test of what the model does when parts of the row go.

Deletion and insertion curves (Petsiuk et al. 2018, arXiv:1806.07421), infidelity and
max-sensitivity (Yeh et al. 2019, arXiv:1901.09392), by the definitions of RISE's evaluation and of
captum; and the same map of another class. The work goes in slices like any long method's, after the
explanation itself. What it adds to the record:

  "trust": "full"
  "figures"       deletion_auc, insertion_auc (of the target's probability), infidelity,
                  relative_infidelity, faithfulness_correlation, max_sensitivity,
                  class_correlation; null where `not_measured` says why
  "examined": {
    "n_steps": 28, "positions_per_step": 147,       of each curve
    "deletion": [...], "insertion": [...]           the curves, n_steps + 1 probabilities each
    "baseline": 0.0, "insertion_baseline": "blur"   what stands where something is removed: a
                                                    number, or `typical` of the training data
    "n_removals": 50                                of the infidelity
    "n_noisy": 5, "radius": 0.08                    of the max-sensitivity; in units of the input,
                                                    where they are known of each column
    "other_class": 7                                of the class_correlation: the best other one
    "seed": 0                                       of the draws: the method's, else 0
    "n_evaluations": 161                            of all this; counted in the record's own, too
    "not_measured": {"max_sensitivity": "..."}      reasons
  }
"""

from collections.abc import Callable
from dataclasses import replace

from candor.explain.examination import (
    N_REMOVALS,
    Found,
    Trial,
    curves,
    losses,
    removable,
    trial_of,
)
from candor.explain.fidelity import MOST_STEPS
from candor.explain.options import Options
from candor.explain.question import Progress, Question
from candor.explain.repeats import (
    N_NOISY,
    Steps,
    n_evaluations_of,
    other_class,
    sensitivity,
    within,
    without_neighbours,
)
from candor.explain.subject import Geometry, Subject
from candor.result import Attribution, Json

__all__ = ["examination_runs", "examine"]


def examination_runs(question: Question, geometry: Geometry, n_explaining: int) -> int:
    """How many rows an examination runs at most, where one explanation runs `n_explaining`."""
    n_positions = int(removable(question.x, geometry).sum())
    n_steps = -(-n_positions // max(1, -(-n_positions // MOST_STEPS)))
    n_noisy = 0 if without_neighbours(question.x, geometry) else N_NOISY
    n_other = 1 + n_explaining
    return 2 * (n_steps + 1) + N_REMOVALS + 1 + n_noisy * n_explaining + n_other


def examine(
    subject: Subject,
    question: Question,
    options: Options,
    explain: Callable[[Question], Steps],
    n_explaining: int,
) -> Steps:
    """Explain, and add the figures of full trust to the record.

    Args:
        subject: the model.
        question: a row and its target.
        options: of the method.
        explain: the method, in slices.
        n_explaining: at most how many rows it runs.
    """
    total = n_explaining + examination_runs(question, subject.geometry, n_explaining)
    attribution = yield from within(explain(question), 0, total, None)
    of = trial_of(subject, question, options, attribution)
    found = Found(details={"baseline": of.absent})

    def best() -> Attribution:
        return _recorded(of, found, complete=False)

    began = n_evaluations_of(attribution)
    for stage in (curves(of, found), losses(of, found)):
        for n in stage:
            found.n_evaluations += n
            done = began + found.n_evaluations
            yield Progress(done, max(total, done), best)
    yield from sensitivity(of, found, explain, total, best)
    yield from other_class(of, found, explain, total, best)
    return _recorded(of, found, complete=True)


def _recorded(of: Trial, found: Found, *, complete: bool) -> Attribution:
    """The attribution with what is known of it in its record."""
    before = of.attribution.trust
    figures, warnings = before.get("figures"), before.get("warnings")
    late = {} if complete else dict.fromkeys(found.figures, "the time was over before")
    known = {name for name, value in found.figures.items() if value is not None}
    why: dict[str, Json] = {n: w for n, w in {**late, **found.why}.items() if n not in known}
    trust: dict[str, Json] = {
        **before,
        "trust": "full",
        "n_evaluations": n_evaluations_of(of.attribution) + found.n_evaluations,
        "complete": complete,
        "figures": {**(figures if isinstance(figures, dict) else {}), **found.figures},
        "warnings": [*(warnings if isinstance(warnings, list) else []), *found.warnings],
        "examined": {
            **found.details,
            "seed": of.seed,
            "n_evaluations": found.n_evaluations,
            "not_measured": why,
        },
    }
    return replace(of.attribution, trust=trust)
