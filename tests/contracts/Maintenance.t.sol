// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IMembers} from "peerage/interfaces/IMembers.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Params} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

contract MaintenanceTest is Network {
    uint32 internal constant ME = 1;
    uint256 internal constant BUDGET = 16;

    function setUp() public {
        deploy();
        join(2);
        toEpoch(10);
    }

    function declare(uint32 from, uint32 to) internal {
        vm.prank(node(ME));
        members.declareMaintenance(from, to);
    }

    function cancel(uint32 from, uint32 to) internal {
        vm.prank(node(ME));
        members.cancelMaintenance(from, to);
    }

    function test_declare_marksTheEpochs() public {
        vm.expectEmit(address(members));
        emit IMembers.MaintenanceDeclared(ME, 12, 15);
        declare(12, 15);
        assertEq(members.maintenanceWord(ME, 0), 7 << 12);
        assertEq(members.maintenanceWord(2, 0), 0);
        declare(14, 16);
        assertEq(members.maintenanceWord(ME, 0), 15 << 12, "overlapping ones count once");
    }

    function test_cancel_takesPartsBack() public {
        declare(12, 20);
        vm.expectEmit(address(members));
        emit IMembers.MaintenanceCancelled(ME, 14, 16);
        cancel(14, 16);
        assertEq(members.maintenanceWord(ME, 0), (3 << 12) | (15 << 16));
    }

    function test_aWindowOverTheEdgeOfTwoWords() public {
        toEpoch(240);
        declare(250, 262);
        assertEq(members.maintenanceWord(ME, 0), 63 << 250);
        assertEq(members.maintenanceWord(ME, 1), 63);
        cancel(255, 257);
        assertEq(members.maintenanceWord(ME, 0), 31 << 250);
        assertEq(members.maintenanceWord(ME, 1), 62);
    }

    function test_attack_declaresMaintenanceForAChallengeItHasSeen() public {
        beatAll(); // epoch 10: the links of 11's challenge are public
        for (uint32 from = 9; from <= 11; ++from) {
            vm.expectRevert(abi.encodeWithSelector(IMembers.BadWindow.selector, from, 20, 12));
            declare(from, 20);
        }
        declare(12, 20);
    }

    function test_attack_cancelsMaintenanceForAChallengeItWouldPass() public {
        declare(12, 20);
        toEpoch(11);
        vm.expectRevert(abi.encodeWithSelector(IMembers.BadWindow.selector, 12, 20, 13));
        cancel(12, 20);
        cancel(13, 20);
    }

    function test_theBudgetIsThatOfTheRulesInForce() public {
        Params memory next = directory.params();
        next.maintenanceEpochs = 3;
        vm.prank(operator);
        directory.announceRules(next, 70);
        toEpoch(70);
        declare(80, 83);
        vm.expectRevert(abi.encodeWithSelector(IMembers.OverBudget.selector, ME, 0, 4, 3));
        declare(90, 91);
    }

    function test_attack_isInMaintenanceForEver() public {
        declare(12, 12 + uint32(BUDGET));
        vm.expectRevert(abi.encodeWithSelector(IMembers.OverBudget.selector, ME, 0, BUDGET + 1, BUDGET));
        declare(100, 101);
        cancel(12, 13);
        declare(100, 101);
        vm.expectPartialRevert(IMembers.OverBudget.selector);
        declare(300, type(uint32).max);
        declare(256, 256 + uint32(BUDGET));
    }

    function test_refusesEmptyWindowsAndStrangers() public {
        vm.expectRevert(abi.encodeWithSelector(IMembers.BadWindow.selector, 20, 20, 12));
        declare(20, 20);
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        members.declareMaintenance(12, 13);
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        members.cancelMaintenance(12, 13);
    }

    /// @dev Any sequence of windows, against a plain list of epochs.
    function testFuzz_words(uint16[6] memory starts, uint8[6] memory lengths, uint8 cancels) public {
        bool[1024] memory expected;
        for (uint256 i = 0; i < 6; ++i) {
            uint32 from = uint32(bound(starts[i], 12, 990));
            uint32 to = from + uint32(bound(lengths[i], 1, BUDGET * 2));
            if ((cancels >> i) & 1 == 1) {
                cancel(from, to);
                for (uint256 e = from; e < to; ++e) {
                    expected[e] = false;
                }
                continue;
            }
            vm.prank(node(ME));
            try members.declareMaintenance(from, to) {
                for (uint256 e = from; e < to; ++e) {
                    expected[e] = true;
                }
            } catch (bytes memory reason) {
                assertEq(bytes4(reason), IMembers.OverBudget.selector);
            }
        }
        for (uint32 word = 0; word < 4; ++word) {
            uint256 bits = members.maintenanceWord(ME, word);
            uint256 number;
            for (uint256 i = 0; i < 256; ++i) {
                bool set = (bits >> i) & 1 == 1;
                assertEq(set, expected[word * 256 + i]);
                if (set) ++number;
            }
            assertLe(number, BUDGET);
        }
    }
}
