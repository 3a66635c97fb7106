-- The echo function.
return {
  echo = function(request)
    return 200, { method = request.method, path = request.path, body = request.body }
  end,
}
