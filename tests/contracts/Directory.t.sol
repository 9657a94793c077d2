// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Anchors} from "peerage/Anchors.sol";
import {Directory} from "peerage/Directory.sol";
import {Members} from "peerage/Members.sol";
import {IAnchors} from "peerage/interfaces/IAnchors.sol";
import {IDirectory} from "peerage/interfaces/IDirectory.sol";
import {IPeered} from "peerage/interfaces/IPeered.sol";
import {Kinds} from "peerage/libraries/Kinds.sol";
import {RuleSet, Rules} from "peerage/libraries/RuleSet.sol";
import {MemberStatus, Params} from "peerage/types/Types.sol";
import {Network} from "./Network.sol";

contract DirectoryTest is Network {
    Directory internal fresh;

    function setUp() public {
        deploy();
        vm.prank(operator, operator);
        fresh = new Directory();
    }

    function only(uint32 epochSeconds) internal pure returns (Params memory params) {
        params.epochSeconds = epochSeconds;
    }

    function test_owner_isTheTransactionsOrigin() public {
        // Through a proxy, as the deterministic deployment does it.
        vm.prank(address(0xdead), operator);
        assertEq(new Directory().owner(), operator);
    }

    function test_configure_fillsInDefaults() public {
        vm.prank(operator);
        fresh.configure(only(60));
        Params memory params = fresh.params();
        assertEq(params.epochSeconds, 60);
        assertEq(params.genesisTime, block.timestamp);
        assertEq(params.samples, 8);
        assertEq(params.graceEpochs, 16);
        assertEq(params.escrowEpochs, 32);
        assertEq(params.windowEpochs, 16);
        assertEq(params.failAt, 6);
        assertEq(params.commitDelay, 2);
        assertEq(params.standDownAfter, 64);
        assertEq(params.repairEpochs, 16);
        assertEq(params.minCapacityMib, 1);
        assertEq(params.rulesDelay, 48);
        assertEq(params.noticeEpochs, 32);
        assertEq(params.appealEpochs, 24);
        assertEq(params.decideEpochs, 72);
        assertEq(params.maintenanceEpochs, 16);
        assertEq(params.demandEpochs, 4);
        assertEq(params.demandCap, 16);
        assertEq(params.committee, 5);
        assertEq(params.demandDeposit, 1000);
    }

    function test_configure_onceAndByTheOwner() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        fresh.configure(only(60));
        vm.startPrank(operator);
        fresh.configure(only(60));
        vm.expectRevert(IDirectory.AlreadyConfigured.selector);
        fresh.configure(only(60));
        vm.stopPrank();
    }

    function test_configure_refusesBadParameters() public {
        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadParameter.selector, "epochSeconds"));
        fresh.configure(only(1));
        Params memory params = only(60);
        params.samples = 257;
        vm.expectRevert(abi.encodeWithSelector(RuleSet.BadRule.selector, "samples"));
        fresh.configure(params);
        params = only(60);
        params.windowEpochs = 65;
        vm.expectRevert(abi.encodeWithSelector(RuleSet.BadRule.selector, "windowEpochs"));
        fresh.configure(params);
        params = only(60);
        params.failAt = 17;
        vm.expectRevert(abi.encodeWithSelector(RuleSet.BadRule.selector, "failAt"));
        fresh.configure(params);
        params = only(60);
        params.commitDelay = 1;
        vm.expectRevert(abi.encodeWithSelector(IDirectory.BadParameter.selector, "commitDelay"));
        fresh.configure(params);
        vm.stopPrank();
    }

    function test_rules_everyFieldKeepsItsValue(Params memory given) public pure {
        given.samples = uint16(bound(given.samples, 1, 256));
        given.windowEpochs = uint8(bound(given.windowEpochs, 1, 64));
        given.failAt = uint8(bound(given.failAt, 1, given.windowEpochs));
        given.maintenanceEpochs = uint16(bound(given.maintenanceEpochs, 1, 256));
        given.committee = uint8(bound(given.committee, 1, 16));
        Rules rules = RuleSet.pack(given); // puts the defaults into `given`
        Params memory back = given;
        assertEq(Rules.unwrap(rules) >> 232, 0);
        rules.unpack(back);
        assertEq(abi.encode(back), abi.encode(given));
        assertEq(rules.minCapacity(), uint256(given.minCapacityMib) << 20);
    }

    function test_rules_changeWithADelayThatAllSee() public {
        (Rules before,) = directory.rulesAt(0);
        Params memory next = directory.params();
        next.samples = 77;
        next.windowEpochs = 64;
        next.epochSeconds = 1; // never changes: passed over
        uint32 now_ = beacon.currentEpoch();
        uint32 earliest = now_ + directory.params().rulesDelay;

        vm.startPrank(operator);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.RulesTooSoon.selector, earliest - 1, earliest));
        directory.announceRules(next, earliest - 1);
        Params memory bad = next;
        bad.failAt = 65;
        vm.expectRevert(abi.encodeWithSelector(RuleSet.BadRule.selector, "failAt"));
        directory.announceRules(bad, earliest);
        next.failAt = 3;
        Rules packed = RuleSet.pack(next);
        vm.expectEmit(address(directory));
        emit IDirectory.RulesAnnounced(earliest, packed);
        directory.announceRules(next, earliest);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.RulesPending.selector, earliest));
        directory.announceRules(next, earliest + 1);
        vm.stopPrank();

        (Rules seen, uint32 until) = directory.rulesAt(now_);
        assertEq(Rules.unwrap(seen), Rules.unwrap(before));
        assertEq(until, earliest, "a member sees it coming");
        (seen, until) = directory.rulesAt(earliest);
        assertEq(Rules.unwrap(seen), Rules.unwrap(packed));
        assertEq(until, type(uint32).max);
        assertTrue(directory.params().samples != 77);
        toEpoch(earliest);
        assertEq(directory.params().samples, 77);
        assertEq(directory.params().epochSeconds, EPOCH);
        (seen, until) = directory.rulesAt(earliest - 1);
        assertEq(Rules.unwrap(seen), Rules.unwrap(before), "what happened before is judged by the rules of then");
        assertEq(until, earliest);
        vm.prank(operator);
        vm.expectRevert(IDirectory.NoRulesPending.selector);
        directory.cancelRules();
    }

    function test_rules_areTakenBackWhileTheyArePending() public {
        (Rules before,) = directory.rulesAt(0);
        Params memory next = directory.params();
        next.samples = 77;
        uint32 from = beacon.currentEpoch() + 100;
        vm.startPrank(operator);
        directory.announceRules(next, from);
        vm.expectEmit(address(directory));
        emit IDirectory.RulesCancelled(from);
        directory.cancelRules();
        directory.announceRules(next, from + 1);
        vm.stopPrank();
        (Rules seen, uint32 until) = directory.rulesAt(from);
        assertEq(Rules.unwrap(seen), Rules.unwrap(before));
        assertEq(until, from + 1);
    }

    function test_attack_rulesChangedByAStranger() public {
        Params memory next = directory.params();
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        directory.announceRules(next, 1000);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        directory.cancelRules();
    }

    function test_rules_beforeConfigure() public {
        vm.expectRevert(IDirectory.NotConfigured.selector);
        fresh.rulesAt(0);
        vm.startPrank(operator);
        vm.expectRevert(IDirectory.NotConfigured.selector);
        fresh.cancelRules();
        vm.expectRevert(IDirectory.NotConfigured.selector);
        fresh.announceRules(only(60), 100);
        vm.stopPrank();
    }

    function test_params_beforeConfigure() public {
        vm.expectRevert(IDirectory.NotConfigured.selector);
        fresh.params();
        vm.expectRevert(IDirectory.NotConfigured.selector);
        new Members(fresh);
    }

    function test_set_countsVersions() public {
        assertEq(directory.version(Kinds.MEMBERS), 1);
        Members next = new Members(directory);
        vm.expectEmit(address(directory));
        emit IDirectory.ContractSet(Kinds.MEMBERS, address(next), 2);
        vm.prank(operator);
        directory.set(Kinds.MEMBERS, address(next));
        assertEq(directory.get(Kinds.MEMBERS), address(next));
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        directory.set(Kinds.MEMBERS, address(next));
        vm.expectRevert(abi.encodeWithSelector(IDirectory.NotAContract.selector, Kinds.MEMBERS, address(5)));
        vm.prank(operator);
        directory.set(Kinds.MEMBERS, address(5));
    }

    function test_missingContract_isNamed() public {
        vm.prank(operator);
        fresh.configure(only(60));
        Anchors lonely = new Anchors(fresh);
        assertEq(address(lonely.directory()), address(fresh));
        assertEq(fresh.get(Kinds.MEMBERS), address(0));
        vm.expectRevert(abi.encodeWithSelector(IPeered.MissingContract.selector, Kinds.MEMBERS));
        lonely.anchor(0, 1, "head");
    }

    function test_domainSeparator_namesChainAndDirectory() public view {
        bytes32 expected = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Peerage"),
                keccak256("1"),
                block.chainid,
                address(directory)
            )
        );
        assertEq(directory.domainSeparator(), expected);
    }

    function test_credit_isMintedByTheOperatorOnly() public {
        assertEq(credit.decimals(), 6);
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        credit.mint(address(this), 1);
    }

    // Anchors

    function test_anchor_numbersGrow() public {
        uint32 member = join();
        vm.startPrank(node(member));
        vm.expectEmit(address(anchors));
        emit IAnchors.HeadAnchored(member, 0, 3, "head", 0);
        anchors.anchor(0, 3, "head");
        (uint64 number, bytes32 head, uint32 epoch) = anchors.latest(member, 0);
        assertEq(number, 3);
        assertEq(head, "head");
        assertEq(epoch, 0);
        vm.expectRevert(abi.encodeWithSelector(IAnchors.NumberNotGrowing.selector, member, 0, 3, 3));
        anchors.anchor(0, 3, "other");
        vm.expectRevert(IAnchors.ZeroHead.selector);
        anchors.anchor(0, 4, 0);
        anchors.anchor(0, 4, "other");
        anchors.anchor(1, 1, "another repository");
        vm.stopPrank();
        (number,,) = anchors.latest(member, 1);
        assertEq(number, 1);
        (number,,) = anchors.latest(9, 0);
        assertEq(number, 0);
    }

    function test_anchor_isForActiveMembers() public {
        uint32 member = join();
        vm.expectRevert(abi.encodeWithSelector(IPeered.NotAMember.selector, address(this)));
        anchors.anchor(0, 1, "head");
        vm.prank(operator);
        members.suspend(member);
        vm.expectRevert(abi.encodeWithSelector(IPeered.StatusForbids.selector, member, MemberStatus.SUSPENDED));
        vm.prank(node(member));
        anchors.anchor(0, 1, "head");
    }
}
