"""Ids of components and stores; no other file spells one out, but a browser script those of its own panel."""

from __future__ import annotations

# The graph
GRAPH = "graph"  # the Cytoscape component
GRAPH_LIVE = "graph-live"  # the line that is read out when the selection changes
GRAPH_FIT_WIDTH = "graph-fit-width"
GRAPH_FIT_ALL = "graph-fit-all"
GRAPH_ZOOM_IN = "graph-zoom-in"
GRAPH_ZOOM_OUT = "graph-zoom-out"
GRAPH_OPEN_LEVEL = "graph-open-level"
GRAPH_CLOSE_LEVEL = "graph-close-level"

# What the graph shows besides; switches of the View menu
PLAIN = "view-plain"  # without trivial layers
COLOURED = "view-coloured"  # all groups in colour
SHAPED = "view-shaped"  # shapes on the edges
MAPPED = "view-mapped"  # the small map

# Stores that the server writes and the graph reads
PICTURE = "picture"  # `picture_record`
GROUPS = "groups"  # `view.coupling_record`
HEAT = "heat"  # {layer id: 0..1} or None
FOCUS = "focus"  # {layer, side}: select this from the server; side may be None
LAYERS = "layers"  # `layers.layers_record`
WIDTHS = "widths"  # `layers.widths_record` of the original and the version on screen
KEYS = "keys"  # `keys.keys_record`
CHAIN = "chain"  # `chains.Tie` that the graph shows, or None

# Stores that the graph writes and the server reads
SELECTION = "selection"  # {layer, side, group}; all None when nothing is selected
TOGGLE = "toggle"  # {module, n}: open or close this module; n differs each time
REVEAL = "reveal"  # {layer, n}: open the modules around this layer
WHY = "why"  # {first, second}: show what ties these two layers; None when no chain is asked for
DRAWN = "drawn"  # true once the first picture is on the screen

ADDRESS = "address"  # {version, opened}: what the address of the page asks for, once

# The session
SHOWN = "shown"  # id of the version on screen; what the graph and the panels are made of
REVISION = "revision"  # grows with every change of the session
OPENED = "opened"  # paths of the modules that are open
LEDGER = "ledger"  # `account.ledger_record` of the version on screen; {} where its units cannot be rated
POLL = "poll"

# The head and the strip of versions
HEAD_NUMBERS = "head-numbers"
HEAD_JOB = "head-job"
UNREACHABLE = "unreachable"  # shown while the server does not answer
UNDO = "undo"
REDO = "redo"
SCHEME = "scheme"
SCHEME_TOGGLE = "scheme-toggle"
PROVIDER = "provider"
VERSION_STRIP = "version-strip"
VERSION_BUTTON = "version-button"  # pattern: one for each version

# The search, the list of groups and the tree of layers
SEARCH = "search"
SEARCH_STATE = "search-state"  # how many layers were found, and the way through them
SIDE_VIEW = "side-view"  # "groups" or "layers"
GROUP_LIST = "group-list"
LAYER_TREE = "layer-tree"

# Help
HELP = "help"
TOUR = "tour"
TOUR_AGAIN = "tour-again"
HELP_DIALOG = "help-dialog"

# What cannot be cut
LOCKED_OPEN = "locked-open"
LOCKED_DIALOG = "locked-dialog"

# The panels
PANEL_TABS = "panel-tabs"
GROUP_PANEL = "group-panel"
GROUP_HEAD = "group-head"  # what is selected
GROUP_REST = "group-rest"  # its members
NAIVE = "naive"  # cut only the selected layer
NAIVE_ANSWER = "naive-answer"
NAIVE_PART = "naive-part"  # hidden while no group that can be cut is selected
MATRIX_HOST = "matrix-host"  # filled when the panel is opened for the first time
MATRIX_WISH = "matrix-wish"  # {shown, scheme}, while the panel is open
MATRIX_D = "matrix-d"
MATRIX_G = "matrix-g"
WHY_PART = "why-part"  # hidden while nothing is selected
WHY_SECOND = "why-second"
WHY_ANSWER = "why-answer"
IMPORTANCE_GROUP = "importance-group"
IMPORTANCE_NOTE = "importance-note"
IMPORTANCE_OVERVIEW = "importance-overview"
IMPORTANCE_FIGURES = "importance-figures"  # filled when the panel is opened for the first time
IMPORTANCE_WISH = "importance-wish"  # {layer, side, group, shown, criterion, scheme} to show, while the panel is open
UNITS = "units"  # {version, picks: {group name: {cut, keep, order}}}: units that the person has picked
UNITS_STROKE = "units-stroke"  # how many times the pointer has gone over units of the figure
UNITS_NOTE = "units-note"
UNITS_CUT = "units-cut"
UNITS_CLEAR = "units-clear"
UNITS_MESSAGE = "units-message"
UNITS_DISTRIBUTION = "units-distribution"
UNITS_WEIGHTS = "units-weights"
OVERVIEW_WISH = "overview-wish"  # {shown, criterion, scheme}
CRITERION = "criterion"
SCOPE = "scope"
AIM = "aim"
RANKED = "ranked"
RATING_MESSAGE = "rating-message"  # why units cannot be rated so
ROUND_TO = "round-to"
RATIO = "ratio"
RATIO_LABEL = "ratio-label"
FITTED = "fitted"  # the latency model of the version on screen, {ms, weights} or None
PREDICT = "predict-latency"  # measures some cuts, so that the preview can say the latency
OUT_OF_REACH = "out-of-reach"  # why the aim of the cut cannot be had; "" where it can
TRAINABLE = "trainable"  # which of the buttons that start some training have what they need
TIED_WISH = "tied-wish"  # {version, wish, selection, units, key}: a cut that the server is to fit to tied sizes
TIED_CUT = "tied-cut"  # {key, removed: [[group, number of units]] or None}: its answer
CUT_WISH = "cut-wish"  # the fields of `actions.Wish`
PREVIEW = "preview"
APPLY = "apply"
TUNE = "tune"
EPOCHS = "epochs"
STRENGTH = "strength"
SPARSIFY = "sparsify"
RECALIBRATE = "recalibrate"
TAUGHT = "taught"  # fine-tuning asks for the original's answers too
STEPS = "steps"
STEP_EPOCHS = "step-epochs"
APPLY_IN_STEPS = "apply-in-steps"
FADING = "fading"  # what sparse training does to each group; hidden before there was any
FADING_QUANTITY = "fading-quantity"
FADING_NOTE = "fading-note"
FADING_PLACE = "fading-place"
FADING_FIGURE = "fading-figure"
SWEEP = "sweep"
SWEEP_FIGURE = "sweep-figure"
SWEEP_MESSAGE = "sweep-message"
CANCEL = "cancel"
JOB = "job"
JOB_STATE = "job-state"  # `view.job_record` of the last job
RESULT = "result"
APPLY_NOTE = "apply-note"  # why Apply is not to be had
MESSAGE = "message"
VERSION_TABLE = "version-table"
VERSION_NAME = "version-name"  # of the version on screen, to be changed
VERSION_NOTE = "version-note"
VERSION_AXIS = "version-axis"  # what the plot of versions has from left to right
COMPARE_BEFORE = "compare-before"
COMPARE_AFTER = "compare-after"
COMPARE_WISH = "compare-wish"  # {before, after, all, scheme, revision}, while the panel is open
COMPARE_ALL = "compare-all"  # the layers that did not change too
COMPARE_LAYERS = "compare-layers"
COMPARE_PREDICTIONS = "compare-predictions"
COMPARE_ON_GRAPH = "compare-on-graph"
VERSION_PLOT = "version-plot"
VERSION_FIGURES = "version-figures"  # filled when the panel is opened for the first time
EXPORT = "export"  # pattern: a button for each kind of file
EXPORT_READY = "export-ready"
EXPORT_MESSAGE = "export-message"
EXPORT_KNOWN = "export-known"  # how many files there were when this page asked for one; None while it waits for none
FIGURES_SVG = "figures-svg"
FIGURES_PNG = "figures-png"
DOWNLOAD = "download"
