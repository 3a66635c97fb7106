--- A directory with these files ({name = text}) for as long as the describe block that calls this; its path.
return function(env, files)
  local dir = os.tmpname()
  os.remove(dir)
  assert(os.execute("mkdir " .. dir))
  for name, text in pairs(files) do
    local f <close> = assert(io.open(dir .. "/" .. name, "w"))
    f:write(text)
  end
  env.teardown(function() os.execute("rm -r " .. dir) end)
  return dir
end
