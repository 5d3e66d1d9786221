// Stands in for Chromium's libvk_swiftshader.so: Mesa's lavapipe under SwiftShader's name.
//
// Chromium takes software WebGPU from the library of this name beside it, and only if the device says that it is SwiftShader.
// So everything is passed on to lavapipe (DRIVER, a path given when this is compiled) but the device's vendor and number.
// For tests only: lavapipe has f16, which SwiftShader lacks.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))
#define SWIFTSHADER_VENDOR 0x1AE0
#define SWIFTSHADER_DEVICE 0xC0DE
// Version of the interface between loader and driver that lavapipe and Chromium both speak.
#define INTERFACE 5

typedef void (*Function)(void);
typedef Function (*Find)(void *instance, const char *name);

static Find find, find_physical;
static int (*negotiate)(uint32_t *);

static void load(void) {
  if (find) return;
  void *driver = dlopen(DRIVER, RTLD_NOW | RTLD_LOCAL);
  if (!driver) {
    fprintf(stderr, "lavapipe: %s\n", dlerror());
    abort();
  }
  find = (Find)dlsym(driver, "vk_icdGetInstanceProcAddr");
  find_physical = (Find)dlsym(driver, "vk_icdGetPhysicalDeviceProcAddr");
  negotiate = (int (*)(uint32_t *))dlsym(driver, "vk_icdNegotiateLoaderICDInterfaceVersion");
  uint32_t version = INTERFACE;
  if (negotiate) negotiate(&version);
}

// VkPhysicalDeviceProperties begins: apiVersion, driverVersion, vendorID, deviceID.
static void rename_device(uint32_t *properties) {
  properties[2] = SWIFTSHADER_VENDOR;
  properties[3] = SWIFTSHADER_DEVICE;
}

static void (*get)(void *, uint32_t *);
static void (*get2)(void *, void *);

static void renamed(void *device, uint32_t *properties) {
  get(device, properties);
  rename_device(properties);
}

// VkPhysicalDeviceProperties2 has a type and a pointer before them.
static void renamed2(void *device, void *properties) {
  get2(device, properties);
  rename_device((uint32_t *)((char *)properties + 16));
}

static Function instead(const char *name, Function function) {
  if (!function) return function;
  if (!strcmp(name, "vkGetPhysicalDeviceProperties")) {
    get = (void (*)(void *, uint32_t *))function;
    return (Function)renamed;
  }
  if (!strcmp(name, "vkGetPhysicalDeviceProperties2") || !strcmp(name, "vkGetPhysicalDeviceProperties2KHR")) {
    get2 = (void (*)(void *, void *))function;
    return (Function)renamed2;
  }
  return function;
}

PUBLIC Function vkGetInstanceProcAddr(void *instance, const char *name) {
  load();
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (Function)vkGetInstanceProcAddr;
  return instead(name, find(instance, name));
}

PUBLIC Function vk_icdGetInstanceProcAddr(void *instance, const char *name) { return vkGetInstanceProcAddr(instance, name); }

PUBLIC Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  load();
  return find_physical ? instead(name, find_physical(instance, name)) : NULL;
}

PUBLIC int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  load();
  return negotiate ? negotiate(version) : 0;
}
