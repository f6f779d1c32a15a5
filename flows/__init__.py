"""What runs: one page per flow, wiring only. `python -m flows` is the same command as `trueup`.

cli, grammar, answer                             the command, the only place that prints; what it understands; answers
run, validate, train, look, score, monitor       the turn and its steps, one page each
release, recheck, aliases                        decisions; what is looked at again before one; MLflow as their image
history, decisions                               what was decided
explain, find_row                                one score, taken apart
reproduce, recall, provenance                    one version, made again from what was recorded
backup, restore, prune                           looking after the home
parameters, moment                               what flows take: the fields of the run form, and `as_of`
late_labels                                      labels that come apart from the rows, told of once
workspace, champion                              what flows open: project, ledger and source; the served model
plan, preview, precheck                          what is due and why; the same asked without a flow run
evidence, publication, summary, show             what is left: in ledger and MLflow, as pages, on a terminal, in Prefect
engine                                           the door to Prefect
"""
