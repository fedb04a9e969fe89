"""A plugin for drawspan: {{module}}.

What is outside of functions runs when the plugin is built. To give no answer: raise Err(PluginError_Unavailable("why")), or
PluginError_InvalidRequest or PluginError_Failed; any other exception ends the instance.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import {{interfaces}}
from wit_world.imports.types import PluginError_Failed, PluginError_InvalidRequest, PluginError_Unavailable


class Lifecycle(exports.Lifecycle):
    def init(self, request: lifecycle.InitRequest) -> None:
        """Called once, before any question. An error refuses the plugin."""


class {{interface_pascal}}(exports.{{interface_pascal}}):
{{functions}}
