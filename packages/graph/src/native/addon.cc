// What the process needs from its system and Node.js does not offer. addon.ts documents it.
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

napi_value ReleaseFreeMemory(napi_env, napi_callback_info) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
  return nullptr;
}

// Calls a function and returns what was written to file descriptor 2 meanwhile. If the function
// throws, the error is passed on and what was written before is written out.
napi_value CollectStderr(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value function, global, text;
  napi_get_cb_info(env, info, &count, &function, nullptr, nullptr);
  napi_get_global(env, &global);

  std::string collected;
  FILE* file = tmpfile();
  const int kept = file == nullptr ? -1 : dup(STDERR_FILENO);
  const bool redirected = kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0;
  const napi_status status = napi_call_function(env, global, function, 0, nullptr, nullptr);
  if (redirected) {
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    rewind(file);
    char part[4096];
    for (size_t size; (size = fread(part, 1, sizeof part, file)) > 0;) collected.append(part, size);
  }
  if (kept >= 0) close(kept);
  if (file != nullptr) fclose(file);

  if (status != napi_ok) {
    fwrite(collected.data(), 1, collected.size(), stderr);
    return nullptr;
  }
  napi_create_string_utf8(env, collected.data(), collected.size(), &text);
  return text;
}

}  // namespace

NAPI_MODULE_INIT() {
  const napi_property_descriptor properties[] = {
      {"releaseFreeMemory", nullptr, ReleaseFreeMemory, nullptr, nullptr, nullptr, napi_enumerable,
       nullptr},
      {"collectStderr", nullptr, CollectStderr, nullptr, nullptr, nullptr, napi_enumerable,
       nullptr},
  };
  napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties);
  return exports;
}
