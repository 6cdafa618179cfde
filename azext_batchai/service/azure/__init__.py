"""What stands around Batch AI in Azure: login, subscriptions, providers, lists of resources, role assignments."""
