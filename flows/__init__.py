"""What runs: one page per flow, wiring only. `python -m flows` is the same command as `trueup`.

run, validate, train, score, monitor, release     the flows, one page each
cli                                               the command; the only place that prints
parameters, moment                                what flows take: the fields of the run form, and `as_of`
workspace, champion                               what flows open: project, ledger and source; the served model
plan, preview, precheck                           what is due and why; the same asked without a flow run
evidence, summary, show                           what is left: in ledger and MLflow, on the terminal, in Prefect
launch, environment, recording, server, crashes   the door to Prefect: with a server, without one, after a kill
artifacts, pages                                  Prefect's artifacts; `trueup ui`
"""
