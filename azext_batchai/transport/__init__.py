"""How requests go to a Batch AI service: ARM, plain HTTP, the login of the environment, and what errors mean."""
