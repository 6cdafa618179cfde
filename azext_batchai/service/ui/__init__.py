"""The page of the service (`az batchai local ui`): one module a page. Loaded when somebody looks, not before."""
