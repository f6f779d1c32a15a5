"""The door to Prefect: with a server, without one, and after a kill.

launch        what makes a function a flow, and how it is called
environment   what the libraries read before they are imported
recording     without a server: Prefect's API, served by a thread of the command itself
server        `trueup up` and `down`
crashes       runs that died without a word
logs          what stands on the pages of runs
events        what happened to a project, for automations and pages
notices       short texts to webhooks, mail and chats
artifacts     Markdown, tables and links on the pages of runs
pages         `trueup ui`: the pages of Prefect, MLflow and Evidently together
"""
