-- What a suite may set for all of it.
return {
  timeout = 10, -- s that anything is waited for: far more than it takes, so only a test that fails ever waits so long
}
