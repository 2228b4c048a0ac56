"""Published data sets -> features and spans, or clips and masks, of a workspace; or tables to cut their videos by."""
