"""The embedded Batch AI service: the 2018-05-01 wire protocol over nodes and jobs that really run."""
