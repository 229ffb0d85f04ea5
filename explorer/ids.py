"""Ids of components and stores; no other file spells one out, but a browser script those of its own panel."""

from __future__ import annotations

# The graph
GRAPH = "graph"  # the Cytoscape component
GRAPH_LIVE = "graph-live"  # the line that is read out when the selection changes
GRAPH_FIT_WIDTH = "graph-fit-width"
GRAPH_FIT_ALL = "graph-fit-all"
GRAPH_ZOOM_IN = "graph-zoom-in"
GRAPH_ZOOM_OUT = "graph-zoom-out"

# Stores that the server writes and the graph reads
PICTURE = "picture"  # `picture_record`
# {layers: {id: {in, out}}, groups: [{name, kind, size, members: [{layer, side}]}], locked: {id: reason}}
GROUPS = "groups"
HEAT = "heat"  # {layer id: 0..1} or None
FOCUS = "focus"  # {layer, side}: select this from the server; side may be None

# Stores that the graph writes and the server reads
SELECTION = "selection"  # {layer, side, group}; all None when nothing is selected
TOGGLE = "toggle"  # {module, n}: open or close this module; n differs each time

# The session
SHOWN = "shown"  # id of the version on screen; what the graph and the panels are made of
REVISION = "revision"  # grows with every change of the session
OPENED = "opened"  # paths of the modules that are open
LEDGER = "ledger"  # `view.ledger_record` of the version on screen
POLL = "poll"

# The head and the strip of versions
HEAD_NUMBERS = "head-numbers"
UNDO = "undo"
REDO = "redo"
SCHEME = "scheme"
SCHEME_TOGGLE = "scheme-toggle"
PROVIDER = "provider"
VERSION_STRIP = "version-strip"
VERSION_BUTTON = "version-button"  # pattern: one for each version

# The list of groups
GROUP_LIST = "group-list"
GROUP_BUTTON = "group-button"  # pattern: one for each group
GROUP_FILTER = "group-filter"

# The panels
PANEL_TABS = "panel-tabs"
GROUP_PANEL = "group-panel"
IMPORTANCE_GROUP = "importance-group"
IMPORTANCE_NOTE = "importance-note"
IMPORTANCE_OVERVIEW = "importance-overview"
CRITERION = "criterion"
SCOPE = "scope"
RATIO = "ratio"
PREVIEW = "preview"
APPLY = "apply"
TUNE = "tune"
CANCEL = "cancel"
JOB = "job"
MESSAGE = "message"
VERSION_TABLE = "version-table"
VERSION_PLOT = "version-plot"
DOWNLOAD_WEIGHTS = "download-weights"
DOWNLOAD_PLAN = "download-plan"
DOWNLOAD = "download"
