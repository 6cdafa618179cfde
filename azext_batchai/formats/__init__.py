"""What files of jobs mean, for both programs: standard library only, knows neither the extension nor the service."""
