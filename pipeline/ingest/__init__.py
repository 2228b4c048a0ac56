"""Published data sets of events -> features and spans of a workspace, or tables to cut their videos by."""
